"""Servers on one core, wrk on another, and what it measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SERVER, CALLER = "0", "1"
"""The cores."""
SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = {["Content-Type"] = "application/json"}
local requests, at = {}, 0
function init()
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", os.getenv("TARGET"), headers, body) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, said)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "us": %d, "p50": %f, "p99": %f, "bad": %d, "broken": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Measured:
    """A run of wrk. rate: requests a second; p50, p99 in ms; bad: answers that were no success."""

    rate: float
    p50: float
    p99: float
    bad: int


@dataclass(frozen=True)
class Server:
    """A server that answers. cold: seconds from its start to its first answer."""

    port: int
    pid: int
    cold: float

    def resident(self) -> float:
        """MB of memory, its children included."""
        total, waiting = 0, [self.pid]
        while waiting:
            pid = waiting.pop()
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(re.findall(r"VmRSS:\s+(\d+)", status)[0])
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return total / 1024


def possible() -> str:
    """Why nothing can be measured here; empty: it can."""
    for name in ("wrk", "taskset"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    return "" if (os.cpu_count() or 1) > 1 else "there is one core: none is left for wrk"


@contextmanager
def serving(
    command: Sequence[str],
    port: int,
    body: Any,
    *,
    target: str = "/predict",
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    patience: float = 60.0,
) -> Iterator[Server]:
    """A server, from its first answer on."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(env or {})}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", SERVER, *command], env=environ, cwd=cwd, stdout=said, stderr=said
        )
        try:
            while not _answers(port, target, body):
                if process.poll() is not None or time.perf_counter() - began > patience:
                    said.seek(0)
                    raise RuntimeError(f"{command[0]} does not answer: {said.read()[-2000:].decode()}")
                time.sleep(0.005)
            yield Server(port, process.pid, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int, target: str, body: Any) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{target}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def wrk(
    server: Server, bodies: Path, connections: int, seconds: int, *, target: str = "/predict"
) -> Measured:
    """Ask with the lines of `bodies` in turn."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        command = ["taskset", "-c", CALLER, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        command += ["-s", script.name, f"http://127.0.0.1:{server.port}"]
        environ = {**os.environ, "BODIES": str(bodies), "TARGET": target}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told["broken"]:
        raise RuntimeError(f"{told['broken']} connections broke")
    return Measured(told["requests"] / told["us"] * 1e6, told["p50"] / 1e3, told["p99"] / 1e3, told["bad"])
