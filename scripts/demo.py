"""The main job, end to end: a spec and 336,776 real flights become a tested release that answers.

Runs the very commands that a user would type, and prints them.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import loop

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo" / "flights"
HEADRACE = Path(sys.executable).with_name("headrace")
REQUEST = {
    "sched_dep": "2013-12-20T18:15:00-05:00",
    "carrier": "EV",
    "flight": 4321,
    "origin": "EWR",
    "dest": "MCI",
    "tailnum": "N16149",
    "distance": 1092,
}


def headrace(*arguments: str) -> None:
    """Run a command of ours and show it."""
    print(f"\n$ headrace {' '.join(arguments)}", flush=True)
    done = subprocess.run([HEADRACE, *arguments], cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit(f"demo: `headrace {arguments[0]}` ended with exit code {done.returncode}")


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def ask(port: int) -> None:
    """Serve the champion, send it one flight, and show what came back."""
    base = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([HEADRACE, "serve", "-C", str(FOLDER), "--port", str(port)], cwd=ROOT)
    try:
        wait_for(f"{base}/health", server)
        print(f"\n$ curl {base}/predict -d '{json.dumps(REQUEST)}'", flush=True)
        request = urllib.request.Request(
            f"{base}/predict",
            data=json.dumps(REQUEST).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            print(json.dumps(json.load(answer), indent=2))
    finally:
        server.terminate()
        server.wait(timeout=10)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers, or half a minute has gone."""
    for _ in range(300):
        if server.poll() is not None:
            sys.exit("demo: the server ended before it answered")
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("demo: the server did not answer within 30 s")


def second_act() -> None:
    """The whole loop: a small model answers while something breaks, notices, says what, and mends it."""
    print("\n--- a model in production, where something breaks (scripts/loop.py) ---", flush=True)
    story = loop.run(ROOT / "demo" / "loop", loop.Break("unit", 3), months=4)
    loop.say(story)
    folder = "demo/loop"
    headrace("alerts", "list", "-C", folder)
    headrace("jobs", "list", "-C", folder)
    if not story.recovered:
        sys.exit("demo: the loop did not recover")


def main() -> None:
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    folder = str(FOLDER.relative_to(ROOT))
    headrace("init", folder, "--example", "flights")
    headrace("check", "-C", folder)
    headrace("run", "-C", folder)
    headrace("report", "run", "-C", folder, "-o", f"{folder}/run.html")
    headrace("doc", "-C", folder, "-o", f"{folder}/design.md")
    ask(free_port())
    headrace("release", "show", "-C", folder)
    headrace("audit", "-C", folder)
    second_act()
    print(f"\ndemo: done in {time.monotonic() - began:.0f} s; look around in {folder}")


if __name__ == "__main__":
    main()
