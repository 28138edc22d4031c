"""The tables' snapshots as the ledger tells them: which there are, which runs used them, what differs, and
what is personal in the sources as they stand."""

from __future__ import annotations

import os
import tempfile
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from headrace.core.clock import Clock
from headrace.core.codec import from_plain
from headrace.core.errors import NotFound, did_you_mean
from headrace.core.event import Event
from headrace.core.ports import Store
from headrace.core.schema import Column, Snapshot
from headrace.core.spec.models import Spec
from headrace.data.privacy.key import Key
from headrace.data.privacy.scan import Scan, scan
from headrace.data.snapshot import snapshot
from headrace.data.versions import TableDiff, diff
from headrace.engine.context import Progress, silent
from headrace.engine.privacy import Treatments, full_name, redaction_of, treatments_of

_DAY = 86_400.0

Find = Callable[[str], Mapping[str, Snapshot]]


@dataclass(frozen=True)
class Version:
    """A snapshot of a table. `age_days` is by the newest moment in it, without one by when it was taken
    (first). `runs` used it, oldest first; `kept` says whether its bytes are still in the store."""

    table: str
    artifact: str
    content: str
    rows: int
    columns: int
    taken: str
    newest: str
    age_days: float
    runs: tuple[str, ...]
    kept: bool


@dataclass(frozen=True)
class PersonalColumn:
    """A column that looks personal or has a treatment. `found` says what it holds, empty where it only has
    a treatment; `do` is its treatment, empty where there is none."""

    name: str
    found: tuple[str, ...]
    do: str
    why: str = ""


class TablesFold:
    """Snapshots and the runs that used them, event by event. known: by table and artifact, each as it was
    first taken. users: of a snapshot, by when they began. used: the artifact of each table of a run.
    profiled: the newest run that made a profile, with when it began."""

    kinds = ("table.snapshot", "stage.finished", "run.started", "run.finished")

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Snapshot] = {}
        self.users: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self.used: dict[str, Mapping[str, str]] = {}
        self.profiled = (0, "")
        self._by_key: dict[str, Mapping[str, str]] = {}
        self._begun: dict[str, int] = {}

    def take(self, e: Event) -> None:
        """One event more."""
        p = e.payload
        if e.kind == "table.snapshot":
            taken = from_plain(p["snapshot"], Snapshot)
            self.known.setdefault((taken.table, taken.artifact), replace(taken, taken=taken.taken or e.time))
        elif e.kind == "stage.finished" and p["stage"] == "ingest":
            self._by_key[e.subject] = p["output"]["outputs"]
        elif e.kind == "run.started":
            self._begun.setdefault(e.subject, e.seq)
        elif e.kind == "run.finished":
            self._run(
                e.subject, {s["name"]: s["key"] for s in p.get("stages", ()) if s["status"] != "failed"}
            )

    def _run(self, run: str, keys: Mapping[str, str]) -> None:
        began, key = self._begun.pop(run, 0), keys.get("ingest", "")
        if "inspect" in keys:
            self.profiled = max(self.profiled, (began, run))
        if run not in self.used and key in self._by_key:
            self.used[run] = self._by_key[key]
            for place in self.used[run].items():
                insort(self.users.setdefault(place, []), (began, run))


def versions(store: Store, fold: TablesFold, clock: Clock) -> tuple[Version, ...]:
    """Every snapshot that the ledger knows, by table, oldest first."""
    now = clock()
    return tuple(
        Version(
            s.table,
            s.artifact,
            s.content,
            s.rows,
            len(s.columns),
            s.taken,
            s.newest,
            round((now - datetime.fromisoformat(s.newest or s.taken)).total_seconds() / _DAY, 6),
            tuple(run for _, run in fold.users.get((s.table, s.artifact), ())),
            store.has(s.artifact),
        )
        for s in sorted(fold.known.values(), key=lambda s: (s.table, s.taken))
    )


def compare(store: Store, find: Find, spec: Spec, first: str, second: str) -> tuple[TableDiff, ...]:
    """What differs between two snapshots of a table, or between the tables of two runs.

    `first` and `second` are runs, or beginnings of snapshots' digests (of the artifact or the content);
    `find` gives their tables (`tables_of`).

    Raises:
        NotFound: no run or snapshot goes by that name, several do, they are of different tables, or the
            bytes are no longer kept.
    """
    sides = [find(name) for name in (first, second)]
    common = [t for t in sides[0] if t in sides[1]]
    if not common:
        tables = [", ".join(s) or "none" for s in sides]
        raise NotFound(
            f"{first} and {second} have no table in common",
            why=f"{first}: {tables[0]}; {second}: {tables[1]}",
            fix="name two runs, or two snapshots of one table (`headrace data list`)",
        )
    found = []
    for table in common:
        a, b = (s[table] for s in sides)
        paths = (store.get(a.artifact), store.get(b.artifact))
        found.append(diff(a, b, paths, id_column=spec.data.id if table == spec.data.events else None))
    return tuple(found)


def tables_of(fold: TablesFold, name: str) -> dict[str, Snapshot]:
    """The tables of a run, or the one snapshot whose digest begins like that.

    Raises:
        NotFound: no run or snapshot goes by that name, or several do.
    """
    known, used = fold.known, fold.used
    if name in used:
        return {t: known[t, a] for t, a in used[name].items() if (t, a) in known}
    found = {
        k: s for k, s in known.items() if name and (s.artifact.startswith(name) or s.content.startswith(name))
    }
    if len(found) == 1:
        return {s.table: s for s in found.values()}
    if found:
        told = ", ".join(f"{s.artifact[:12]} ({s.table})" for s in found.values())
        raise NotFound(f"{len(found)} snapshots begin with {name!r}: {told}", fix="write more of it")
    raise NotFound(
        f"there is no run or snapshot {name!r}",
        fix=did_you_mean(name, [*used, *(s.artifact[:12] for s in known.values())]),
    )


def personal(spec: Spec, root: Path, *, progress: Progress = silent) -> tuple[PersonalColumn, ...]:
    """Look through the sources as they stand, to their last row. Nothing is kept: the rows lie in a
    temporary folder meanwhile, with masks done; hashes are made with a key that is forgotten.

    Raises:
        DataError: a source can't be read.
        UserCodeError: a user's function raised.
    """
    treatments = treatments_of(spec)
    found: list[PersonalColumn] = []
    for i, name in enumerate(spec.data.tables):
        progress("pii", f"reading {name}", i, len(spec.data.tables))
        looked = _look(spec, root, name, treatments)
        of = treatments[name]
        columns = dict.fromkeys([*(f.column for f in looked.findings), *of])
        for column in columns:
            how = of.get(column)
            told = tuple(str(f) for f in looked.findings if f.column == column)
            done = (how.do, how.why) if how else ("", "")
            found.append(PersonalColumn(full_name(spec, name, column), told, *done))
    return tuple(found)


def _look(spec: Spec, root: Path, name: str, treatments: Treatments) -> Scan:
    from headrace.stores import EmbeddedStore

    data, table = spec.data, spec.data.tables[name]
    scans: list[Scan] = []

    def guard(path: Path, columns: tuple[Column, ...]) -> bool:
        scans.append(scan(name, path, columns, treatments[name], threads=spec.limits.threads))
        return False

    with tempfile.TemporaryDirectory(prefix="headrace-pii-") as folder:
        scratch = Path(folder)
        snapshot(
            name,
            table,
            store=EmbeddedStore(scratch / "store"),
            root=root,
            zone=table.zone or data.zone,
            limits=spec.limits,
            taken="",
            scratch=scratch,
            times=(data.time,) if name == data.events and data.time is not None else (),
            redaction=redaction_of(treatments, name, Key(os.urandom(32), "")),
            guard=guard,
        )
    return scans[0]
