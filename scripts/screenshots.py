"""Make the pictures of the dashboard: a project with a month of traffic, and Chromium to look at its pages.

`python scripts/screenshots.py [--world DIR] [--to docs/pictures]` makes the world where it is not there (some
minutes): the flights example, a release, 24 days of answers to real flights with their labels, a feed that
breaks in the last three days, and what watching says of it. Pictures are kept below 150 kB each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AUTHOR, OTHER = "ana@example.com", "ben@example.com"
DAYS, ROWS, BROKEN = 24, 6_000, 3
MOST = 150_000
SHOTS = {
    "now": ("", 1280, "light"),
    "drift": ("/drift", 1280, "light"),
    "traffic": ("/traffic?span=30+days", 1280, "dark"),
    "release": ("/releases/champion", 1280, "light"),
    "phone": ("", 390, "dark"),
}
"""Each picture: the page, how wide, and whether light or dark."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default=str(ROOT / "demo" / "dashboard"))
    parser.add_argument("--to", default=str(ROOT / "docs" / "pictures"))
    asked = parser.parse_args()
    world = Path(asked.world)
    if not (world / ".headrace" / "watch.db").exists():
        make(world)
    take(world, Path(asked.to))


def make(folder: Path) -> None:
    """The project: two runs, one release that is live, traffic, labels, windows, reviews."""
    from headrace.project import Project

    shutil.rmtree(folder, ignore_errors=True)
    Project.init(folder, example="flights")
    edit(folder, r"(?m)^models:.*\n(?:  .*\n)*", "models: [linear, boosting]\n")
    edit(folder, r"(?m)^  approval: self\b", "  approval: other")
    author, other = Project(folder, actor=AUTHOR), Project(folder, actor=OTHER)
    first = author.run()
    if "approval" in first.status:
        other.approve(first.release)
        other.promote(first.release)
    answer(author)
    label(author)
    other.watch()
    author.review_ask(uncertain=24)
    edit(folder, r"(?m)^features:.*\n", "features:\n  month: month(sched_dep)\n")
    author.run(to="evaluate")
    author.note("run-2", "whether the season tells more than the weather does", tags={"team": "arrivals"})


def edit(folder: Path, old: str, new: str) -> None:
    """Change the spec's text, which has to hold what is changed."""
    file = folder / "headrace.yaml"
    text, count = re.subn(old, new, file.read_text(encoding="utf-8"), count=1)
    if not count:
        raise RuntimeError(f"{old!r} is not in the spec")
    file.write_text(text, encoding="utf-8")


def flights(folder: Path) -> list[dict[str, Any]]:
    """The last flights of the year, oldest first."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "data" / "flights.parquet")
    return table.slice(table.num_rows - 30_000).slice(0, ROWS).to_pylist()


def answer(project: Any) -> None:
    """Send flights to the application as if they had been asked about over the last weeks: it answers and
    logs as a server does, by a clock of its own. In the last days tail numbers come in small letters: no
    plane is found by them."""
    from headrace.logs.writer import LogWriter
    from headrace.serve.http.app import make_app

    found, manifest = project.release()
    sent = list(manifest.serving.event_types())
    rows = flights(project.root)
    start = datetime.now(UTC) - timedelta(days=DAYS)
    moment = [start]

    def clock() -> datetime:
        return moment[0]

    log = LogWriter(project.log_folder, worker="demo", mode="buffered", clock=clock)
    app = make_app(project.store, manifest, found.release, clock=clock, log=Dated(log, clock))
    hours = DAYS * 24
    weights = [0.2 if (start + timedelta(hours=h)).hour < 6 else 1.0 for h in range(hours)]
    at = 0
    for h, weight in enumerate(weights):
        count = round(ROWS * weight / sum(weights))
        for row in rows[at : at + count]:
            moment[0] += timedelta(seconds=3600 / max(1, count))
            told = {n: str(row[n]) if isinstance(row[n], datetime) else row[n] for n in sent if n in row}
            if h >= hours - 24 * BROKEN and told.get("tailnum"):
                told["tailnum"] = told["tailnum"].lower()
            asyncio.run(ask(app, told))
        at += count
        moment[0] = start + timedelta(hours=h + 1)
    app.close()
    log.close()


class Dated:
    """A log whose answers were given at another time than now."""

    def __init__(self, log: Any, clock: Any) -> None:
        self._log, self._clock = log, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, entries: Any, *told: Any) -> Any:
        from msgspec.structs import replace

        from headrace.core.clock import micros

        at = micros(self._clock())
        dated = [replace(e, time=at, id=f"{at // 1000:013x}{e.id[13:]}") for e in entries]
        return self._log.append(dated, *told)


async def ask(app: Any, row: dict[str, Any]) -> None:
    """One request."""
    body = json.dumps(row).encode()
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    if told[0]["status"] != 200:
        raise RuntimeError(told[1]["body"].decode())


def label(project: Any) -> None:
    """What became of the flights, for all but those of the last day."""
    rows = flights(project.root)
    found = project.log_query("select id, time from predictions order by time, id").rows
    late = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    labels = [
        {"id": name, "label": row["arr_delay"] > 30}
        for (name, time), row in zip(found, rows, strict=False)
        if row["arr_delay"] is not None and time < late
    ]
    for first in range(0, len(labels), 5_000):
        project.label(labels[first : first + 5_000])


def take(world: Path, to: Path) -> None:
    """The pictures, from the real `headrace ui`."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("there is no Chromium: apt-get install chromium")
    to.mkdir(parents=True, exist_ok=True)
    headrace = str(Path(sys.executable).with_name("headrace"))
    process = subprocess.Popen(
        [headrace, "ui", "-C", str(world), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEADRACE_USER": OTHER},
    )
    try:
        if process.stderr is None:
            raise RuntimeError("there is nothing to read")
        base = re.search(r"http://\S+", process.stderr.readline())
        if base is None:
            raise RuntimeError("headrace ui did not begin")
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name, (path, width, scheme) in SHOTS.items():
                size = {"width": width, "height": 800}
                page = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
                page.goto(f"{base[0]}{path}")
                page.wait_for_function(
                    "() => [...document.querySelectorAll('.plot')].every(b => b.querySelector('.main-svg')"
                    " || b.getBoundingClientRect().top > innerHeight || !b.clientWidth)"
                )
                page.wait_for_timeout(800)
                file = to / f"dashboard-{name}.png"
                page.screenshot(path=str(file))
                page.close()
                if file.stat().st_size > MOST:
                    raise SystemExit(f"{file.name} has {file.stat().st_size:,} bytes, more than {MOST:,}")
                print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
            browser.close()
    finally:
        process.terminate()
        process.communicate(timeout=60)


if __name__ == "__main__":
    main()
