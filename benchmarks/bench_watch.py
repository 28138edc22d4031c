"""Watching: a tick on 100,000 new predictions of 20 columns, and what is kept of a year.

A tick is all of it: lease, ledger, counting, judging the hour that is over by every check that asks for
answers, and saying so. It is measured on answers in Parquet, as compaction leaves them every ten minutes, and
on answers in a segment, as a server has just written them; then behind ten times as much history. The year is
one of hourly windows of 50 columns: counts as they are kept, and six readings a column.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.rows import Row, row
from headrace.core.answered import Answered
from headrace.core.clock import from_micros, iso
from headrace.core.codec import to_json
from headrace.core.event import Draft
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.core.watching import Family, Reading
from headrace.logs.columns import FIXED
from headrace.logs.parts import Parts, commit, load
from headrace.logs.rewrite import write_parts
from headrace.logs.writer import LogWriter
from headrace.release.manifest import Field, Serving, bare
from headrace.release.plan import Plan
from headrace.release.watching import WatchPlan
from headrace.stores.embedded import EmbeddedStore
from headrace.stores.watch_file import Piece, WatchFile
from headrace.summary.bins import make_bins
from headrace.summary.counts import Counter
from headrace.summary.reference import Reference, ReferenceRows, by_column, keep, write_reference, write_rows
from headrace.summary.traffic import Traffic
from headrace.watch.readings import Asked, readings, write
from headrace.watch.tick import Place, tick

ROWS, NUMBERS, TEXTS = 100_000, 16, 4
WORDS = [f"word {i}" for i in range(12)]
HOUR = 3_600_000_000
START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1e6)
YEAR, COLUMNS = 8760, 50
_BLOCK = 512


def run() -> list[Row]:
    return [*_ticks(), *_year()]


def _values(rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {f"number_{i}": rng.normal(size=rows) for i in range(NUMBERS)}
    words = np.array(WORDS, dtype=object)
    found |= {f"text_{i}": words[rng.integers(0, len(WORDS), rows)] for i in range(TEXTS)}
    probability = rng.random(rows)
    return found | {"prediction": (probability > 0.5).astype(np.float64), "probability": probability}


def _types() -> dict[str, Type]:
    kinds = {f"number_{i}": Type.NUMBER for i in range(NUMBERS)} | {
        f"text_{i}": Type.TEXT for i in range(TEXTS)
    }
    return kinds | {"prediction": Type.BOOL, "probability": Type.NUMBER}


class _World:
    """A project's store with one release, and a log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.store = EmbeddedStore(folder)
        self.rng = np.random.default_rng(1)
        self.hours = 0
        self._release()

    def _release(self) -> None:
        rows = 20_000
        columns = _values(self.rng, rows)
        bins = make_bins(columns, _types())
        counter = Counter(bins)
        counts, codes = counter.count(columns, rows), counter.codes(columns, rows)
        outputs = ("prediction", "probability")
        made = Reference(
            bins, rows, by_column(bins, counts), tuple(counts.sums.tolist()), tuple(counts.squares.tolist()),
            None, None, {"validation": rows}, outputs, "f1",
        )  # fmt: skip
        block = np.arange(rows) * _BLOCK // rows
        blocks = np.zeros((_BLOCK, bins.width), np.uint32)
        for i in range(len(bins.columns)):
            np.add.at(blocks, (block, bins.offsets[i] + codes[:, i].astype(np.int64)), 1)
        moments = START - 10 * HOUR + np.arange(rows) * HOUR // 2000
        kept, runs = keep(rows)
        told = ReferenceRows(
            np.ascontiguousarray(codes[kept]), moments[kept], np.arange(rows)[kept], runs,
            columns["probability"][kept], columns["prediction"][kept],
            columns["prediction"][kept].astype(int), blocks,
            moments[np.searchsorted(block, np.arange(_BLOCK))], np.bincount(block),
        )  # fmt: skip
        plan = WatchPlan(
            self.store.put(write_reference(made)).digest,
            self.store.put(write_rows(told)).digest,
            window_us=HOUR,
        )
        fields = tuple(Field(n, t) for n, t in _types().items() if n not in outputs)
        serving = Serving("", Task(Kind.BINARY, (False, True)), fields, (), {}, "UTC", None, 0, 0.5)
        manifest = self.store.put(to_json(replace(bare(serving, Plan()), watch=plan))).digest
        when = iso(from_micros(START))
        self.store.append(
            [
                Draft("release.made", "r1", when, "me", {"manifest": manifest, "run": "run"}),
                Draft("release.promoted", "r1", when, "me", {}),
            ]
        )

    def parquet(self, rows: int) -> None:
        """Another hour of answers, as compaction leaves them."""
        values, start = _values(self.rng, rows), START + self.hours * HOUR
        names = {
            "id": pa.array([f"{self.hours * rows + i:032x}" for i in range(rows)]),
            "time": pa.array(start + np.arange(rows) * HOUR // rows).cast(pa.timestamp("us")),
            "took_us": pa.array(self.rng.integers(100, 5000, rows)),
            "flags": pa.array([[]] * rows, pa.list_(pa.string())),
            "review": pa.array(np.zeros(rows, bool)),
        }
        same = {"route": "default", "release": "r1", "arm": "champion", "unit": "", "by": "model", "of": ""}
        same["segment"] = f"w-{self.hours}.seg"
        names |= {n: pa.array([v] * rows) for n, v in same.items()}
        table = {n: names[n] for n in FIXED}
        for name, column in values.items():
            part = "answer" if name in ("prediction", "probability") else "input"
            known = column.astype(bool) if name == "prediction" else column
            table[f"{part}.{name}"] = pa.array(known)
        made = write_parts(self.log, [pa.table(table)])
        counts = load(self.log) if (self.log / "parts.json").exists() else Parts()
        commit(self.log, replace(counts, parts=(*counts.parts, *made)))
        self.hours += 1

    def segment(self, rows: int) -> None:
        """Another hour of answers, as a server writes them."""
        values, start = _values(self.rng, rows), START + self.hours * HOUR
        plain = {n: v.tolist() for n, v in values.items()}
        sent = [n for n in plain if n not in ("prediction", "probability")]
        writer = LogWriter(self.log, worker=f"s{self.hours}")
        for begin in range(0, rows, 500):
            while writer.state.waiting > 30_000:
                time.sleep(0.01)
            writer.append(
                [
                    Answered(
                        f"{self.hours * rows + i:032x}", start + i * HOUR // rows, "default", "r1",
                        "champion", "", "model", {n: plain[n][i] for n in sent},
                        {"prediction": bool(plain["prediction"][i]), "probability": plain["probability"][i]},
                        (), 300 + i % 999,
                    )
                    for i in range(begin, min(begin + 500, rows))
                ],
                lambda _: None,
            )  # fmt: skip
        writer.close()
        self.hours += 1

    def tick(self) -> tuple[float, float]:
        """Seconds that a tick takes, just after the newest hour, and those of the processor."""
        now = START + self.hours * HOUR + 10_000_000
        began, worked = time.perf_counter(), time.process_time()
        done = tick(Place(self.store, self.folder, "bench", lambda: from_micros(now)))
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        if done.arrived < 1:
            raise RuntimeError("no window was judged")
        return seconds, worked


def _ticks() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder) / "store")
        world.parquet(ROWS)
        world.tick()  # draws the thresholds, which are kept
        near = [_measured(world, world.parquet) for _ in range(3)]
        segment = min(_measured(world, world.segment)[0] for _ in range(3))
        while world.hours < 20:
            world.parquet(ROWS)
        world.tick()
        far = min(_measured(world, world.parquet)[1] for _ in range(3))
    parquet, work = (min(of) for of in zip(*near, strict=True))
    what = f"tick: {ROWS:,} new predictions, {NUMBERS + TEXTS} columns"
    return [
        row(
            "watch", f"{what}, in Parquet", parquet, "s", floor="–", ratio=None, reach="≤ 1 s",
            ok=parquet <= 1,
        ),
        row(
            "watch", f"{what}, in a segment", segment, "s", floor="–", ratio=None, reach="≤ 2 s",
            ok=segment <= 2,
        ),
        row(
            "watch",
            "work of the same in Parquet, behind 2,000,000 predictions",
            far,
            "s of CPU",
            floor=f"{work:.2f} s behind 200,000",
            ratio=far / work,
            reach="≤ 1.3 ×",
            ok=far <= 1.3 * work,
        ),
    ]  # fmt: skip


def _measured(world: _World, more: Callable[[int], None]) -> tuple[float, float]:
    more(ROWS)
    return world.tick()


def _year() -> list[Row]:
    """Counts and readings of a year, as ticks write them."""
    rng = np.random.default_rng(2)
    columns = {f"column_{i}": rng.normal(size=20_000) for i in range(COLUMNS)}
    bins = make_bins(columns, dict.fromkeys(columns, Type.NUMBER))
    counter = Counter(bins)
    some = []
    for _ in range(24):
        picked = rng.integers(0, 20_000, 5000)
        some.append(counter.count({n: v[picked] for n, v in columns.items()}, 5000).to_bytes())
    traffic = Traffic(
        5000, 1, 2, 9000, took=dict.fromkeys(range(100, 220), 40), by={"model": 5000}, beats=set(range(60))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watch.db"
        with WatchFile(path) as file:
            stream = file.stream("r1", "champion")
            series = _series(file, list(columns))
            for begin in range(0, YEAR, 168):
                weeks = range(begin, min(begin + 168, YEAR))
                with file.changing():
                    for i in weeks:
                        start = START + i * HOUR
                        piece = Piece(stream, start, 0, start + HOUR, 5000, some[i % 24], traffic.to_bytes())
                        file.put_piece(piece)
                        file.put_window(stream, start, start + HOUR, 5000, f"{i:064x}")
                    values = rng.random((len(weeks), len(series))).tolist()
                    file.run_many(
                        "INSERT INTO reading VALUES (?,?,?,?,0,?,NULL,NULL,5000)",
                        [
                            (s, i + 1, v, 0.4 + s / 1e5, v)
                            for i, row_ in zip(weeks, values, strict=True)
                            for s, v in zip(series, row_, strict=True)
                        ],
                    )
            file.run("UPDATE window SET arrived = 1, labelled = 2")
            by_column = _fastest(lambda: _asked(file, Asked(of="column_7"), YEAR))
            newest = _fastest(lambda: _asked(file, Asked(), COLUMNS * 6, 1))
        size = sum(f.stat().st_size for f in Path(folder).iterdir()) / 1e6
    return [
        row(
            "watch", f"a year of hourly windows, {COLUMNS} columns: what is kept", size, "MB", floor="–",
            ratio=None, reach="≤ 200 MB", ok=size <= 200,
        ),
        row(
            "watch", "readings of a column over it", by_column, "s", floor="–", ratio=None, reach="< 1 s",
            ok=by_column < 1,
        ),
        row(
            "watch", "all readings of its newest window", newest, "s", floor="–", ratio=None, reach="< 1 s",
            ok=newest < 1,
        ),
    ]  # fmt: skip


def _series(file: WatchFile, names: list[str]) -> list[int]:
    """The numbers of six checks of every column, kept as a first window's readings."""
    checks = ("ks", "wasserstein", "psi", "missing", "type", "range")
    made = [Reading(Family.DRIFT, check, name) for name in names for check in checks]
    with file.changing():
        write(file, 0, made)
        file.run("DELETE FROM reading")
    return [int(str(i)) for (i,) in file.rows("SELECT id FROM series ORDER BY id")]


def _asked(file: WatchFile, asked: Asked, least: int, most: int | None = None) -> None:
    found = sum(1 for _ in readings(file, asked, most=most))
    if found < least:
        raise RuntimeError(f"{found} readings were found, {least} were written")


def _fastest(work: Callable[[], None]) -> float:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
