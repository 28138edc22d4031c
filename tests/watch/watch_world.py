"""A small release under watch, and traffic of it as serving processes log it; hours of a made-up clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.answered import Answered
from headrace.core.clock import from_micros, iso
from headrace.core.codec import to_json
from headrace.core.event import Draft, Event
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.logs.writer import LogWriter
from headrace.release.manifest import Field, Serving, bare
from headrace.release.plan import Plan
from headrace.release.watching import WatchPlan
from headrace.stores.embedded import EmbeddedStore
from headrace.stores.watch_file import WatchFile
from headrace.summary.bins import make_bins
from headrace.summary.counts import count
from headrace.summary.reference import Reference, by_column, write_reference
from headrace.testing.log_exam import Callers
from headrace.watch.tick import Place, Ticked, tick

HOUR = 3_600_000_000
START = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1e6)
"""A Monday."""
PORTS = ("JFK", "EWR", "LGA")
TYPES = {
    "distance": Type.NUMBER,
    "port": Type.TEXT,
    "weather.temp": Type.NUMBER,
    "prediction": Type.BOOL,
    "probability": Type.NUMBER,
}
WINDOW = WatchPlan("", "", window_us=HOUR, least=50, labels_us=2 * HOUR)


class LiveWorld:
    """A store with one release, its log, and a clock."""

    def __init__(self, folder: Path, plan: WatchPlan = WINDOW) -> None:
        self.folder = folder
        self.store = EmbeddedStore(folder)
        self.now = START
        self._rng = np.random.default_rng(7)
        self._number = 0
        self._writers = 0
        self.release = self.promote(plan)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def promote(self, plan: WatchPlan, name: str = "r1", *, champion: bool = True) -> str:
        """Another release; champion from now on."""
        n = 4000
        columns = {
            "distance": self._rng.normal(1000, 200, n),
            "port": np.array([PORTS[i] for i in self._rng.integers(0, 3, n)], dtype=object),
            "weather.temp": self._rng.normal(10, 5, n),
            "prediction": (self._rng.random(n) < 0.3).astype(np.float64),
            "probability": self._rng.random(n),
        }
        bins = make_bins(columns, TYPES)
        counts = count(bins, columns, n)
        reference = Reference(
            bins, n, by_column(bins, counts), tuple(counts.sums.tolist()), tuple(counts.squares.tolist()),
            None, None, {"validation": n}, ("prediction", "probability"), "f1",
        )  # fmt: skip
        fields = (
            Field("distance", Type.NUMBER),
            Field("port", Type.TEXT, categories=PORTS),
            Field("weather.temp", Type.NUMBER, source="weather"),
        )
        serving = Serving("", Task(Kind.BINARY, (False, True)), fields, (), {}, "UTC", None, 0, 0.5)
        digest = self.store.put(write_reference(reference)).digest
        manifest = replace(bare(serving, Plan()), watch=replace(plan, reference=digest))
        made = self.store.put(to_json(manifest)).digest
        when = iso(from_micros(self.now))
        self.store.append([Draft("release.made", name, when, "me", {"manifest": made, "run": "run"})])
        if champion:
            self.store.append([Draft("release.promoted", name, when, "me", {})])
        return name

    def answers(self, start: int, count: int, span: int = HOUR, **changes: Any) -> list[Answered]:
        """Answers evenly over a span. Changes: fields of `Answered`; `inputs` and `filled` change values."""
        inputs, filled = changes.pop("inputs", {}), changes.pop("filled", {})
        made = []
        for i in range(count):
            self._number += 1
            probability = float(self._rng.random())
            made.append(
                Answered(
                    **{
                        "id": f"{self._number:032x}",
                        "time": start + i * span // count,
                        "route": "default",
                        "release": "r1",
                        "arm": "champion",
                        "unit": "",
                        "by": "model",
                        "took_us": int(self._rng.integers(100, 3000)),
                        "inputs": {
                            "distance": float(self._rng.normal(1000, 200)),
                            "port": PORTS[int(self._rng.integers(0, 3))],
                            **inputs,
                        },
                        "filled": {"weather.temp": float(self._rng.normal(10, 5)), **filled},
                        "answer": {"prediction": probability > 0.5, "probability": probability},
                        **changes,
                    }
                )
            )
        return made

    def write(self, entries: Sequence[Answered]) -> None:
        """A closed segment of a process of its own."""
        writer = self.writer()
        self.append(writer, entries)
        writer.close()

    def writer(self) -> LogWriter:
        """A process's writer; the caller closes it."""
        self._writers += 1
        return LogWriter(self.log, worker=f"w{self._writers}", mode="durable")

    def append(self, writer: LogWriter, entries: Sequence[Answered]) -> None:
        """Write entries, and wait until they are on the disk."""
        told = Callers()
        writer.append(entries, told)
        assert told.wait(1) == [None]

    def at(self, hours: float) -> LiveWorld:
        """Set the clock to so many hours after the start, and the grace."""
        self.now = START + int(hours * HOUR) + 10_000_000
        return self

    def tick(self, **changes: Any) -> Ticked:
        """Tick now."""
        place = Place(self.store, self.folder, "watch", lambda: from_micros(self.now))
        return tick(replace(place, **changes))

    def judged(self) -> list[Event]:
        """What the ledger says of windows."""
        return list(self.store.read(kinds=["window.judged"]))

    def told(self, side: str = "arrived") -> list[tuple[str, int, int, int]]:
        """Arm, first and last hour, and rows of judged windows."""
        return [
            (p["arm"], (p["start"] - START) // HOUR, (p["end"] - START) // HOUR, p["rows"])
            for p in (e.payload for e in self.judged())
            if p["side"] == side
        ]

    def file(self) -> WatchFile:
        """The watch file; the caller closes it."""
        return WatchFile(self.folder / "watch.db")
