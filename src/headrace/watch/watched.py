"""What a release says of how its traffic is counted and judged, ready for use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from headrace.core.codec import from_json
from headrace.core.errors import NotFound
from headrace.core.ports import Store
from headrace.core.task import Kind
from headrace.core.views import RELEASE_KINDS, releases
from headrace.core.watching import Family
from headrace.graph.run import Runner
from headrace.graph.zones import Zone
from headrace.release.manifest import Manifest
from headrace.release.watching import WatchPlan
from headrace.summary.counts import Counter
from headrace.summary.reference import Reference, ReferenceRows, read_reference, read_rows
from headrace.watch.counting import Binned
from headrace.watch.slicing import Slicer
from headrace.watch.spans import MINUTE, span_of

DEFAULT = WatchPlan("", "")
"""How releases are watched that say nothing of it: those that were made before there was a reference."""


@dataclass(frozen=True)
class Watched:
    """A release under watch. manifest: None where nothing is known of the release."""

    release: str
    manifest: Manifest | None
    store: Store

    @property
    def plan(self) -> WatchPlan:
        """What is watched, and over which windows."""
        return (None if self.manifest is None else self.manifest.watch) or DEFAULT

    @cached_property
    def reference(self) -> Reference | None:
        """What windows are compared with; None where the release has none.

        Raises:
            NotFound: the artifact is gone.
            Corrupt: it is not what was written.
        """
        digest = self.plan.reference
        return read_reference(self.store.get(digest).read_bytes()) if digest else None

    @cached_property
    def rows(self) -> ReferenceRows | None:
        """The rows that thresholds are drawn from; None where the release has none. Raises as `reference`."""
        digest = self.plan.rows
        return read_rows(self.store.get(digest).read_bytes()) if digest else None

    @cached_property
    def families(self) -> frozenset[Family]:
        """The families of checks that are on and have something to look at: they share the alert budget."""
        none = set(self.plan.off)
        task = None if self.manifest is None else self.manifest.serving.task.kind
        columns = () if self.reference is None else self.reference.watchable.names
        if task is Kind.REGRESSION:
            none.add(Family.CALIBRATION)
        if not self.plan.worth or task is not Kind.BINARY:
            none.add(Family.VALUE)
        for family, names in ((Family.SLICES, self.plan.slices), (Family.FAIRNESS, self.plan.fair)):
            if not set(names) & set(columns):
                none.add(family)
        return frozenset(f for f in Family if f not in none)

    @cached_property
    def slicer(self) -> Slicer | None:
        """Slices that are expressions; None where the release has none."""
        if self.reference is None or self.manifest is None or not self.reference.sliced.columns:
            return None
        looked_up = frozenset(f.name for f in self.manifest.serving.fields if f.source != "event")
        runner = Runner(self.store.get(self.plan.graph))
        return Slicer(runner, Counter(self.reference.sliced), looked_up, Zone(self.plan.zone))

    @property
    def span_us(self) -> int:
        """How long the spans are that answers are counted by: windows by count are made of minutes."""
        return MINUTE if self.plan.window_rows else self.plan.window_us

    @property
    def needed(self) -> int:
        """How many answers a window has at least."""
        return self.plan.window_rows or self.plan.least

    def last_end(self, moment: int) -> int:
        """The end of the newest span that is over at a moment."""
        return span_of(moment, self.span_us, self.plan.zone)[0]

    @cached_property
    def binned(self) -> Binned:
        """How its answers are counted."""
        if self.reference is None or self.manifest is None:
            return Binned(self.span_us, self.plan.zone)
        event = frozenset(f.name for f in self.manifest.serving.fields if f.source == "event")
        counter = Counter(self.reference.bins)
        return Binned(self.span_us, self.plan.zone, counter, event, frozenset(self.reference.outputs))


class Shelf:
    """The releases of a store, each loaded once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views = releases(store.read(kinds=RELEASE_KINDS)).releases
        self._known: dict[str, Watched] = {}

    def __call__(self, release: str) -> Watched:
        """A release; one that the ledger does not know is watched as `DEFAULT` says.

        Raises:
            Corrupt: its manifest is not what was written.
        """
        if release not in self._known:
            self._known[release] = Watched(release, self._manifest(release), self._store)
        return self._known[release]

    def _manifest(self, release: str) -> Manifest | None:
        view = self._views.get(release)
        if view is None:
            return None
        try:
            return from_json(self._store.get(view.manifest).read_bytes(), Manifest)
        except NotFound:
            return None
