"""The dashboard: pages of 100,000 runs on the server; the first paint of every page.

The server is the real `headrace ui`. Runs are written as a run of the spine leaves them (ten stages, four
metrics with intervals, verdicts of six gates); every fiftieth takes a new snapshot. The first search of a
field reads it from the index; the others find it in memory. Pages that tell of the whole ledger are asked
once while they fold it, and then with one run more each time. Paint is the browser's own first contentful
paint, each page in a fresh browser context that has nothing kept, on a project with one finished run and
5,000 logged answers.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.rows import Row, row, skipped
from headrace.core.answered import Answered
from headrace.core.clock import iso
from headrace.core.codec import to_plain
from headrace.core.event import Draft
from headrace.core.evidence import Evidence, Outcome, Verdict
from headrace.core.gates import GATES
from headrace.core.schema import Column, Snapshot, Type
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.stores import EmbeddedStore
from headrace.testing.log_exam import Callers

RUNS = 100_000
LOGGED = 5_000
REACH_MS, PAINT_S = 300.0, 1.0
ASKED = {
    "the newest page": "",
    "page 1,500": "page=1500",
    "search: a metric and a tag": "where=" + quote("validation.f1 > 0.9 and tags.team = 'a'"),
    "search: a status, sorted by a metric": "status=blocked&sort=validation.auc&down=1",
    "search: text and time": "where="
    + quote("author = 'ben' and started >= TIMESTAMP '2025-06-01 00:00:00'"),
    "sorted by name": "sort=name",
}
FOLDED = {"Now": "/ui", "Data": "/ui/data", "Health": "/ui/health"}


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [*_many(Path(folder) / "many"), *_paints(Path(folder) / "one")]


def _many(folder: Path) -> list[Row]:
    folder.mkdir()
    _write(folder)
    rows = []
    started = time.perf_counter()
    index = Project(folder).run_index
    index.find()
    index.close()
    made = time.perf_counter() - started
    rows.append(
        row(
            "pages", f"index of {RUNS:,} runs, made once", made, "s", floor="", ratio=None, reach="–", ok=True
        )
    )
    with _served(folder) as port:
        rows += _folded(folder, port)
        for what, query in ASKED.items():
            took = [1000 * _get(port, f"/ui/runs?{query}") for _ in range(6)]
            first, later = took[0], statistics.median(took[1:])
            rows.append(
                row(
                    "pages",
                    f"{RUNS:,} runs: {what}",
                    first,
                    "ms",
                    floor=f"again {later:.0f} ms",
                    ratio=first / REACH_MS,
                    reach=f"≤ {REACH_MS:.0f} ms",
                    ok=first <= REACH_MS,
                )
            )
    return rows


def _folded(folder: Path, port: int) -> list[Row]:
    """Pages that tell of the whole ledger."""
    begun = time.perf_counter()
    for path in FOLDED.values():
        _get(port, path)
    made = time.perf_counter() - begun
    what = f"{RUNS:,} runs: the ledger folded, once a start"
    rows = [row("pages", what, made, "s", floor="", ratio=None, reach="–", ok=True)]
    with contextlib.closing(EmbeddedStore(folder / ".headrace")) as store:
        for what, path in FOLDED.items():
            took = []
            for i in range(6):
                name, at = f"{path.rpartition('/')[2]}-{i}", iso(datetime(2026, 6, 1, tzinfo=UTC))
                store.append([Draft("run.started", name, at, "ana", {"name": name, "spec": "0" * 64})])
                took.append(_get(port, path))
            rows.append(
                row(
                    "pages",
                    f"{RUNS:,} runs: {what}, after one run more",
                    max(took),
                    "s",
                    floor=f"median {statistics.median(took):.2f} s",
                    ratio=max(took) / PAINT_S,
                    reach=f"≤ {PAINT_S:g} s",
                    ok=max(took) <= PAINT_S,
                )
            )
    return rows


def _write(folder: Path) -> None:
    draw = random.Random(0)
    store = EmbeddedStore(folder / ".headrace")
    at = datetime(2025, 1, 1, tzinfo=UTC)
    stages = [{"name": f"stage {i}", "status": "ran", "key": f"{i:064d}", "seconds": 1.0} for i in range(10)]
    for first in range(0, RUNS, 1000):
        drafts = []
        for i in range(first, first + 1000):
            at += timedelta(minutes=5)
            author, name = draw.choice(["ana", "ben", "cyd"]), f"features: +f{draw.randrange(300)}"
            begun = {"name": name, "spec": "0" * 64, "tags": {"team": draw.choice("abc")}}
            drafts.append(Draft("run.started", f"run-{i + 1}", iso(at), author, begun))
            key = f"{i // 50:064d}"
            if i % 50 == 0:
                drafts += _ingested(f"run-{i + 1}", key, iso(at))
            drafts += [
                Draft("gate.judged", f"run-{i + 1}", iso(at), author, {"verdict": _verdict(gate, draw)})
                for gate in list(GATES)[:6]
            ]
            stages[0] = {"name": "ingest", "status": "cached", "key": key, "seconds": 1.0}
            interval = {"low": 0.1, "high": 0.9, "level": 0.95, "method": "blocks"}
            metrics = ("f1", "auc", "log_loss", "accuracy")
            ended = {
                "status": draw.choice(["released", "blocked", "failed"]),
                "seconds": 100 * draw.random(),
                "model": draw.choice(["linear", "boosting"]),
                "validation": {m: {"value": draw.random(), "interval": interval} for m in metrics},
                "test": {"metric": "f1", "value": draw.random(), "interval": interval},
                "stages": stages,
            }
            drafts.append(Draft("run.finished", f"run-{i + 1}", iso(at), author, ended))
        store.append(drafts)
    store.close()


def _ingested(run: str, key: str, at: str) -> list[Draft]:
    """A stage that read a table, and the table's snapshot."""
    columns = (Column("id", Type.TEXT, "string"),)
    taken = Snapshot("customers", key, key, 1000, columns, "customers.csv", at)
    output = {"outputs": {"customers": key}, "facts": {}, "notes": {}}
    done = {"run": run, "stage": "ingest", "seconds": 1.0, "output": output, "artifacts": {"customers": key}}
    return [
        Draft("table.snapshot", "customers", at, "bench", {"snapshot": to_plain(taken)}),
        Draft("stage.finished", key, at, "bench", done),
    ]


def _verdict(gate: str, draw: random.Random) -> dict[str, Any]:
    outcome = Outcome.PASS if draw.random() < 0.9 else Outcome.FAIL
    made: dict[str, Any] = to_plain(
        Verdict(gate, "learn", outcome, Evidence(gate, draw.random()), "<= 1", "")
    )
    return made


def _paints(folder: Path) -> list[Row]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    what, reach = "first paint of the slowest page", f"≤ {PAINT_S:g} s"
    if chromium is None:
        return [skipped("pages", what, "there is no Chromium", reach=reach)]
    _project(folder)
    from playwright.sync_api import sync_playwright

    from headrace.web.registry import pages

    found: dict[str, float] = {}
    with _served(folder) as port, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        time.sleep(3)  # what the server loads by itself when it begins
        for page in pages():
            path = {"run": "runs/run-1", "release": "releases/champion"}.get(page.name, page.path)
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            tab.goto(f"http://127.0.0.1:{port}/ui/{path}".rstrip("/"))
            tab.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
            asked = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found[page.name] = tab.evaluate(asked) / 1000
            context.close()
        browser.close()
    slowest = max(found, key=lambda n: found[n])
    middle = statistics.median(found.values())
    return [
        row(
            "pages",
            f"{what} of {len(found)} ({slowest})",
            found[slowest],
            "s",
            floor=f"median {middle:.2f} s",
            ratio=found[slowest] / PAINT_S,
            reach=reach,
            ok=found[slowest] <= PAINT_S,
        )
    ]


def _project(folder: Path) -> None:
    """A finished run over drafted customers, its champion, and logged answers."""
    draw = random.Random(0)
    source = folder.parent / "customers.csv"
    with source.open("w", encoding="utf-8") as f:
        f.write("customer_id,plan,months,calls,churned\n")
        for i in range(3000):
            months, calls = draw.randint(1, 60), draw.randint(0, 9)
            yes = draw.random() < 0.1 + 0.07 * calls - 0.004 * months
            f.write(f"c{i},{draw.choice(['basic', 'pro'])},{months},{calls},{'yes' if yes else 'no'}\n")
    Project.init(folder, from_file=source, target="churned")
    project = Project(folder, actor="bench@example.com")
    spec = folder / "headrace.yaml"
    text = re.sub(r"(?m)^models:.*$", "models: [linear, tree]", spec.read_text(encoding="utf-8"))
    spec.write_text(text, encoding="utf-8")
    done = project.run(raises=False)
    log, told = LogWriter(project.log_folder, worker="bench", mode="buffered"), Callers()
    now = time.time()
    entries = [
        Answered(
            f"{i:019x}", int(1e6 * (now - 600_000 + 120 * i)), "default", done.release or "none",
            "champion", "", "model", {"months": draw.randint(1, 60)}, {"prediction": True},
            took_us=draw.randint(300, 900),
        )
        for i in range(LOGGED)
    ]  # fmt: skip
    log.append(entries, told)
    log.close()
    project.run_index.close()


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[int]:
    headrace = str(Path(sys.executable).with_name("headrace"))
    process = subprocess.Popen(
        [headrace, "ui", "-C", str(folder), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r":(\d+)/ui", said)
        if found is None:
            raise RuntimeError(f"headrace ui did not begin: {said}")
        yield int(found[1])
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _get(port: int, path: str) -> float:
    """Seconds until a page is there."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as line:
        started = time.perf_counter()
        line.request("GET", path, headers={"Accept": "text/html"})
        answer = line.getresponse()
        answer.read()
        took = time.perf_counter() - started
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return took
