"""What differs between runs or releases: spec, data, artifacts, metrics, and whether the difference is beyond
noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headrace.core.codec import from_json, to_plain
from headrace.core.errors import HeadraceError, NotFound, did_you_mean
from headrace.core.ports import Store
from headrace.core.spec import ParsedSpec, Spec
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine import releases
from headrace.engine.context import Context
from headrace.engine.measures import find_metric
from headrace.engine.memo import recall
from headrace.engine.naming import name_run, system_of
from headrace.engine.paired import of_made, of_run, on_fresh_rows
from headrace.engine.pins import output_of
from headrace.engine.plan import SPINE
from headrace.engine.tracking.record import Tracked
from headrace.policy.changes import System, changes
from headrace.policy.promotion import gain

_UNTIL = "package"
Surroundings = Callable[[ParsedSpec], Context]


@dataclass(frozen=True)
class _Side:
    """One of the things compared: a run, or the run behind a release."""

    asked: str
    run: RunView
    system: System | None


def compare(store: Store, names: Sequence[str], context: Surroundings) -> dict[str, Any]:
    """Runs, releases and scripts' runs side by side; differences are of each against the first.

    Stages are the same when their keys are: then nothing that they depend on differs. Significance is claimed
    from paired intervals on validation rows of the later one, on both packaged graphs, and nowhere else.

    context: the surroundings in which a run's rows are answered, from the run's own spec.

    Raises:
        NotFound: there is no such run or release.
    """
    sides = [_side(store, n) for n in names]
    first, *others = sides
    keys = [{s["name"]: s["key"] for s in r.run.summary.get("stages", ())} for r in sides]
    gates = [{g["name"]: g for g in r.run.summary.get("gates", ())} for r in sides]
    boards = [{m["model"]: m for m in r.run.summary.get("leaderboard", ())} for r in sides]
    last = sides[-1]
    return {
        "runs": [s.asked for s in sides],
        "names": [s.run.name for s in sides],
        "kinds": ["script" if s.run.script else "spine" for s in sides],
        "status": [s.run.status for s in sides],
        "spec": _named(store, last, first),
        "changes": [_changes(s, first) for s in others],
        "data": _data(sides),
        "stages": {n: len({k.get(n) for k in keys}) == 1 for n in _all(keys)},
        "artifacts": _artifacts(store, keys),
        "metrics": _metrics(sides),
        "params": _params(store, sides),
        "gates": {
            n: [g.get(n, {}).get("verdict") for g in gates] + [g.get(n, {}).get("value") for g in gates]
            for n in _all(gates)
        },
        "leaderboard": {n: [b.get(n, {}).get("mean") for b in boards] for n in _all(boards)},
        "test": [s.run.summary.get("test") for s in sides],
        "release": [s.run.release or None for s in sides],
        "paired": [_paired(store, first, s, context) for s in others],
    }


def _side(store: Store, name: str) -> _Side:
    run = _run(store, name)
    if run is None:
        try:
            release = releases.find(releases.view(store), name)
            run = _run(store, releases.load_manifest(store, release).run)
        except NotFound:
            known = [*runs(store.read(kinds=RUN_KINDS)), *releases.view(store).releases]
            raise NotFound(f"there is no run {name!r}", fix=did_you_mean(name, known)) from None
        if run is None:
            raise NotFound(f"the run that made {name!r} is not in the ledger")
    return _Side(name, run, system_of(store, run))


def _run(store: Store, name: str) -> RunView | None:
    """One run, without reading the others."""
    return runs(store.read(kinds=RUN_KINDS, subject=name)).get(name)


def _all(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(n for part in parts for n in part))


def _named(store: Store, now: _Side, first: _Side) -> str:
    return name_run(now.system, store, first.run) if now.system is not None else "no longer kept"


def _changes(now: _Side, first: _Side) -> dict[str, Any]:
    if now.system is None or first.system is None:
        return {"run": now.asked, "components": None, "why_none": "a spec is no longer kept"}
    found = changes(now.system, first.system)
    return {"run": now.asked, "components": {c.component: list(c.texts) for c in found}, "why_none": ""}


def _data(sides: Sequence[_Side]) -> dict[str, Any]:
    """By table: rows of each, whether the content is the same, and columns that not all have."""
    tables = [(s.system.tables if s.system else None) or {} for s in sides]
    found = {}
    for name in _all(tables):
        here = [t.get(name) for t in tables]
        columns = [set(t.columns) if t else set() for t in here]
        shared = set.intersection(*columns)
        found[name] = {
            "rows": [t.rows if t else None for t in here],
            "same": len({t.content if t else None for t in here}) == 1,
            "columns": [sorted(c - shared) for c in columns],
        }
    return found


def _artifacts(store: Store, keys: Sequence[Mapping[str, str]]) -> dict[str, bool | None]:
    """By `stage.role`: whether all made the same bytes; None where one made none."""
    made: list[dict[str, str]] = []
    for of in keys:
        outputs = {stage: recall(store, key) for stage, key in of.items() if key}
        made.append(
            {f"{s}.{r}": d for s, o in outputs.items() if o is not None for r, d in o.outputs.items()}
        )
    return {n: None if any(n not in m for m in made) else len({m[n] for m in made}) == 1 for n in _all(made)}


def _metrics(sides: Sequence[_Side]) -> dict[str, list[Any]]:
    """Validation metrics with their intervals, and what scripts logged last."""
    found: list[dict[str, Any]] = []
    for side in sides:
        summary = side.run.summary
        of = {
            n: {"value": m["value"], "interval": m["interval"]}
            for n, m in summary.get("validation", {}).items()
        }
        logged = summary.get("metrics", {}) if side.run.script else {}
        found.append({**of, **{n: {"value": v, "interval": None} for n, v in logged.items()}})
    return {n: [f.get(n) for f in found] for n in _all(found)}


def _params(store: Store, sides: Sequence[_Side]) -> dict[str, list[Any]]:
    """What scripts logged as parameters, where they differ."""
    found: list[Mapping[str, Any]] = []
    for side in sides:
        kept = side.run.logged
        found.append(
            from_json(store.get(kept).read_bytes(), Tracked).params if kept and store.has(kept) else {}
        )
    table = {n: [f.get(n) for f in found] for n in _all(found)}
    return {n: v for n, v in table.items() if any(x != v[0] for x in v)}


def _paired(store: Store, first: _Side, other: _Side, context: Surroundings) -> dict[str, Any]:
    """The later one less the first on the same fresh rows; where that can't be, why."""
    said: dict[str, Any] = {"run": other.asked, "against": first.asked}
    none = {"metric": None, "value": None, "interval": None, "says": "not compared", "rows": 0, "units": 0}
    try:
        return {**said, **_significance(store, first, other, context), "why_none": ""}
    except HeadraceError as error:
        return {**said, **none, "why_none": error.problems[0].what}


def _significance(store: Store, first: _Side, other: _Side, context: Surroundings) -> dict[str, Any]:
    for side in (first, other):
        if side.run.script:
            raise NotFound(
                f"{side.asked} is a script's run: it packaged no graph to answer the same rows with"
            )
    names = [s.stage.name for s in SPINE]
    made = {n: output_of(store, other.run, n) for n in names[: names.index(_UNTIL) + 1]}
    spec = Spec.model_validate_json(store.get(other.run.spec).read_bytes())
    here = replace(context(ParsedSpec(spec, {}, other.asked)), run=other.run.run)
    old = Spec.model_validate_json(store.get(first.run.spec).read_bytes())
    if (old.problem.task, old.problem.target) != (spec.problem.task, spec.problem.target):
        raise NotFound(f"{first.asked} predicts something else ({old.problem.target})")
    contenders = [of_made(here, made, other.asked), of_run(store, first.run, spec.data.events)]
    here.progress("compare", "starts", 0, 0)
    _, (ours, theirs) = on_fresh_rows(here, made, contenders, "compare")
    here.progress("compare", "ran", 1, 1)
    metric = find_metric(spec, spec.problem.metric)
    found = gain(metric, ours, theirs, seed=spec.seed)
    return {
        "metric": metric.name,
        "values": [found.theirs, found.ours],
        "value": found.value,
        "interval": to_plain(found.interval) if found.interval else None,
        "says": found.says,
        "rows": found.rows,
        "units": found.units,
    }
