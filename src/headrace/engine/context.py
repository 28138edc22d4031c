"""What every stage is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headrace.core.clock import Clock, duration_micros, iso
from headrace.core.digest import digest
from headrace.core.event import Draft
from headrace.core.evidence import Evidence
from headrace.core.ports import Store
from headrace.core.schema import Snapshot
from headrace.core.spec import ParsedSpec, Spec
from headrace.data.loaded import Loaded
from headrace.engine.compile import Compiling
from headrace.engine.tracking.record import Given


class Progress(Protocol):
    """Told of long work: which stage, what it does, and how far it is (`total` 0: not known)."""

    def __call__(self, stage: str, text: str, done: int, total: int) -> None: ...


def silent(stage: str, text: str, done: int, total: int) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True)
class Caused:
    """What a run is made for: a job's, or a person's who mends an alert. title: as its name says it,
    `retrain: drift of wind`. job, cause: the job (empty: a person's), and what called for it. holds: its
    release goes no further than challenger; whoever started it decides who lets it answer."""

    title: str
    job: str
    cause: str
    holds: bool = False


@dataclass(frozen=True)
class Context:
    """One run's surroundings. `root` is the project's folder. `pinned` are snapshots that are used instead
    of reading the tables again: the artifacts are in the store. `given` is a model that takes the place of
    the spec's candidates. `caused` is what started it (None: a person). `loaded` is what handles on rows
    hold in memory together: emptied when a stage ends, and gone with the context. `compiling` holds
    what was compiled of the spec."""

    root: Path
    store: Store
    parsed: ParsedSpec
    clock: Clock
    actor: str
    run: str
    progress: Progress = silent
    pinned: Mapping[str, Snapshot] = field(default_factory=dict)
    given: Given | None = None
    caused: Caused | None = None
    loaded: Loaded = field(default_factory=Loaded, compare=False, repr=False)
    compiling: Compiling = field(default_factory=Compiling, compare=False, repr=False)

    @property
    def spec(self) -> Spec:
        return self.parsed.spec

    @property
    def zone(self) -> str:
        return self.spec.data.zone or "UTC"

    @property
    def lead_us(self) -> int:
        """How long before its time an event is predicted, in microseconds."""
        return duration_micros(self.spec.data.lead) or 0

    def now(self) -> str:
        return iso(self.clock())

    def draft(self, kind: str, subject: str, **payload: Any) -> Draft:
        """An event of this run's actor, now."""
        return Draft(kind, subject, self.now(), self.actor, payload)

    def tell(self, stage: str) -> Callable[[str, int, int], None]:
        """A progress callback for the rooms below, which don't know their stage's name."""

        def say(text: str, done: int, total: int) -> None:
            self.progress(stage, text, done, total)

        return say


@dataclass(frozen=True)
class Output:
    """What a stage made.

    `outputs` name artifacts by role, `facts` are small JSON values: both go into the keys of the stages
    behind. `notes` (times, paths, seconds) don't. `evidence` is judged anew on every run.
    """

    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()

    @property
    def digest(self) -> str:
        """What later stages depend on."""
        return digest([self.outputs, self.facts])


Made = Mapping[str, Output]
"""The outputs of the stages before, by stage name."""


@dataclass(frozen=True)
class Stage:
    """A step of the spine.

    - `slice` is the part of the spec (and of the world outside) that the stage depends on;
    - `code` names the modules whose source, with all that they import, is the stage's code version;
    - `libraries` are the distributions whose versions matter;
    - `work` does it.
    """

    name: str
    needs: tuple[str, ...]
    slice: Callable[[Context], Any]
    work: Callable[[Context, Made], Output]
    code: Callable[[Context], tuple[str, ...]]
    libraries: tuple[str, ...] = ()
