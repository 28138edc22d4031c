"""What the design document says, gathered from spec and ledger. Changes nothing and asks no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.checks.lint.registry import LEAKAGE
from headrace.core.codec import from_json, from_plain
from headrace.core.document import Bar, Design, DesignColumn, DesignFeature, Risk, ServedHistory, ServedTable
from headrace.core.errors import NotFound, SpecError
from headrace.core.history import History
from headrace.core.ports import Store
from headrace.core.schema import Snapshot, Type
from headrace.core.spec import FeatureSpec, ParsedSpec, Spec
from headrace.core.spec.features import EncodeFeature, ExprFeature, PythonFeature
from headrace.core.spec.tables import ColumnCleaning, TableSpec
from headrace.core.task import Task
from headrace.core.views import RELEASE_KINDS, RUN_KINDS, Releases, RunView, releases, runs
from headrace.engine.behind import Behind, behind_of
from headrace.engine.check import check
from headrace.engine.checking.tables import keys_of
from headrace.engine.compile import Compiled
from headrace.engine.measures import bars_of, find_metric
from headrace.engine.pins import output_of, snapshots_of_run
from headrace.engine.releases import load_manifest
from headrace.engine.spreads import newest_matrix, spreads_of
from headrace.engine.stages.features import raw_columns
from headrace.expr import Expr
from headrace.policy.changes import features_of


def gather(store: Store, parsed: ParsedSpec, root: Path) -> Design:
    """The record of a project as it stands: `parsed` is its spec, `store` its ledger.

    Raises:
        SpecError: the spec has mistakes. Tables that can't be read are none: the document says so.
    """
    spec = parsed.spec
    seen = tuple(runs(store.read(kinds=RUN_KINDS)).values())
    ended = [r for r in seen if not r.script and r.status != "unfinished"]
    measured = next((r for r in reversed(ended) if r.summary.get("leaderboard")), None)
    newest = ended[-1] if ended else None
    before = _spec_of(store, measured or newest)
    compiled, unread = _compiled(store, parsed, root, ended)
    split = _facts(store, measured, "split")
    state = releases(store.read(kinds=RELEASE_KINDS))
    metric = find_metric(spec, spec.problem.metric)
    task = from_plain(split["task"], Task) if "task" in split else None
    return Design(
        spec=spec,
        folder=root.name or ".",
        as_of=_last_event(store),
        runs=seen,
        newest=newest,
        measured=measured,
        changed=_changed(spec, before),
        releases=state,
        before=state.before_champion(),
        features=_features(spec, compiled, ended, store, state),
        columns=_columns(spec, compiled),
        tables=_tables(spec, compiled),
        histories=_histories(compiled),
        functions=tuple(f.label for f in compiled.functions) if compiled else (),
        bars=_bars(spec),
        metric=_at(before, ("problem", "metric")) or spec.problem.metric,
        higher=metric.higher_is_better,
        meaning=metric.meaning,
        parts={n: int(split["counts"][n]) for n in ("train", "validation", "test") if "counts" in split},
        classes=tuple(str(c) for c in task.classes) if task else (),
        unread=unread,
    )


def _last_event(store: Store) -> str:
    kinds = (*RUN_KINDS, *RELEASE_KINDS)
    return next((e.time for e in store.read(kinds=kinds, newest_first=True)), "")


def _spec_of(store: Store, run: RunView | None) -> Mapping[str, Any]:
    """The spec that a run ran with, as plain values; empty where it is not kept."""
    if run is None or not run.spec or not store.has(run.spec):
        return {}
    found: dict[str, Any] = from_json(store.get(run.spec).read_bytes(), dict)
    return found


def _changed(spec: Spec, before: Mapping[str, Any]) -> tuple[str, ...]:
    """The top-level parts of the spec that differ from what was run."""
    now = spec.plain()
    return tuple(k for k in sorted({*now, *before}) if now.get(k) != before.get(k)) if before else ()


def _facts(store: Store, run: RunView | None, stage: str) -> Mapping[str, Any]:
    if run is not None:
        with suppress(NotFound):
            return output_of(store, run, stage).facts
    return {}


def _compiled(
    store: Store, parsed: ParsedSpec, root: Path, ended: Sequence[RunView]
) -> tuple[Compiled | None, str]:
    """The spec's expressions typed by the columns that the newest run with snapshots saw, or that the tables
    have now; None and the reason where a table can't be read."""
    pinned: dict[str, Snapshot] = {}
    for run in reversed(ended):
        with suppress(NotFound):
            pinned = snapshots_of_run(store, run)
            break
    known = {n: s for n, s in pinned.items() if n in parsed.spec.data.tables}
    if known:
        with suppress(SpecError):  # the spec may speak of columns that have come since
            return check(parsed, root, known), ""
    try:
        return check(parsed, root), ""
    except SpecError as error:
        places = [parsed.where("data", "tables", n, "read") for n in parsed.spec.data.tables]
        if all(p.where.startswith(tuple(places)) for p in error.problems):
            return None, "; ".join(p.what for p in error.problems)
        raise


# --- features --------------------------------------------------------------------------------------


def _features(
    spec: Spec,
    compiled: Compiled | None,
    ended: Sequence[RunView],
    store: Store,
    state: Releases,
) -> tuple[DesignFeature, ...]:
    inspected = next((r for r in reversed(ended) if _came_to(r, "inspect")), None)
    before = _spec_of(store, inspected)
    kinds = {f["name"]: f["kind"] for f in _facts(store, inspected, "features").get("features", ())}
    findings = inspected.summary.get("findings", ()) if inspected else ()
    computed, made = newest_matrix(store, ended)
    declared = features_of(_spec_of(store, computed))
    spreads = spreads_of(store, made, spec.feature_specs()) if made is not None else {}
    used = _definitions(store, state)
    found = []
    for name, feature in spec.feature_specs().items():
        exprs = _read_by(compiled, name, feature) if compiled else ()
        columns = tuple(dict.fromkeys(c for e in exprs for c in e.columns))
        behind = behind_of(compiled, columns) if compiled else Behind()
        same = inspected is not None and _seen_alike(spec, before, name, behind)
        typed = _type_of(feature, exprs)
        risk, why = _risk(spec, name, behind, inspected if same else None, findings)
        there = name in spreads and features_of(spec.plain()).get(name) == declared.get(name)
        found.append(
            DesignFeature(
                name=name,
                expression=feature.text,
                source=_sources(spec, behind),
                columns=columns,
                type=kinds.get(name, typed) if same else typed,
                cleaning=tuple(
                    t for c in columns if c in spec.clean.columns for t in _cleaning(c, spec.clean.columns[c])
                ),
                risk=risk,
                why=why,
                description=feature.description,
                owner=feature.owner or spec.owner("features"),
                spreads=spreads[name] if there else (),
                run=computed.run if there and computed else "",
                releases=tuple(r for r, texts in used.items() if texts.get(name) == feature.text),
            )
        )
    return tuple(found)


def _definitions(store: Store, state: Releases) -> dict[str, Mapping[str, str]]:
    """The features of every release by their definition, the oldest release first."""
    kept = (r for r in state.releases.values() if store.has(r.manifest))
    return {r.release: load_manifest(store, r).features for r in kept}


def _read_by(compiled: Compiled, name: str, feature: FeatureSpec) -> tuple[Expr, ...]:
    """The expressions behind a feature: its own, what its encoder reads, or those that its form makes."""
    if isinstance(feature, ExprFeature):
        return (compiled.features[name],) if name in compiled.features else ()
    if name in compiled.encoded:
        return tuple(compiled.encoded[name].values())
    return tuple(e for n, e in compiled.features.items() if n == name or n.startswith(f"{name}_"))


def _type_of(feature: FeatureSpec, exprs: Sequence[Expr]) -> str:
    if isinstance(feature, EncodeFeature):
        return "category" if feature.encode == "hash" else "number"
    if isinstance(feature, PythonFeature):
        return "category" if feature.type == "text" else feature.type
    if not isinstance(feature, ExprFeature):
        return "number"
    types = {Type.TEXT: "category", Type.TIME: "number"}
    return feature.kind or next((types.get(e.type, e.type.value) for e in exprs), "")


def _came_to(run: RunView, stage: str) -> bool:
    return any(s["name"] == stage and s["status"] != "failed" for s in run.summary.get("stages", ()))


def _seen_alike(spec: Spec, before: Mapping[str, Any], name: str, behind: Behind) -> bool:
    """Whether what the linter saw of a feature is what the spec says now: its expression, its tables, the
    moment, the target and the split."""
    now = {**spec.plain(), "features": features_of(spec.plain())}
    before = {**before, "features": features_of(before)}
    paths = [("features", name), ("split",), ("problem", "target"), ("data", "time"), ("data", "lead")]
    paths += [("data", "tables", t) for t in _sources(spec, behind)]
    paths += [("features", n) for n in behind.features]
    return all(_at(now, p) == _at(before, p) for p in paths)


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _sources(spec: Spec, behind: Behind) -> tuple[str, ...]:
    """The tables behind a feature, the events' first."""
    sides = _looked_up(spec, behind) | {h.table for h in behind.histories}
    events = spec.data.events in sides or any(c.partition(".")[0] not in sides for c in behind.columns)
    return ((spec.data.events,) if events else ()) + tuple(sorted(sides - {spec.data.events}))


def _looked_up(spec: Spec, behind: Behind) -> set[str]:
    split = (c.partition(".") for c in behind.columns)
    return {t for t, dot, _ in split if dot and t in spec.data.tables}


def _cleaning(column: str, how: ColumnCleaning) -> list[str]:
    """What is done to a column, in the order in which it is done."""
    clip = how.clip
    told = {
        "trimmed": how.trim,
        f"{how.case} case": how.case is not None,
        f"read as a time by {how.parse}": how.parse is not None,
        f"flagged as capped from {how.cap}": how.cap is not None,
        "clipped to 1.5 interquartile ranges": clip == "iqr",
        f"clipped to the quantiles {clip[0]:g} and {clip[1]:g}" if isinstance(clip, tuple) else "": bool(
            clip and clip != "iqr"
        ),
        "flagged where missing": how.flag,
        f"missing becomes {how.fill}": how.fill is not None,
    }
    return [f"{column}: {text}" for text, applies in told.items() if applies]


def _risk(
    spec: Spec,
    name: str,
    behind: Behind,
    run: RunView | None,
    findings: Sequence[Mapping[str, Any]],
) -> tuple[Risk, str]:
    """What is known of a feature's leakage: findings first, then what the declarations let it see."""
    mine = [f for f in findings if _is_of(f["feature"], name, spec) and f["kind"] in LEAKAGE] if run else []
    for severity, risk in (("blocks", Risk.BLOCKS), ("warns", Risk.LOOK), ("accepted", Risk.ACCEPTED)):
        of = [f for f in mine if f["severity"] == severity]
        if of:
            why = "; ".join(
                f["what"] + (f" (accepted: {f['remedy']})" if severity == "accepted" else "") for f in of
            )
            return risk, why
    declared, open_ = _declared(spec, behind)
    if open_:
        return Risk.LOOK, declared
    if run is None:
        return Risk.OPEN, declared
    return Risk.LOW, f"{declared}; nothing found in {run.run}".removeprefix("; ")


def _is_of(found: str | None, name: str, spec: Spec) -> bool:
    """Whether a column of the matrix is a feature's: of its name, or begun with it."""
    names = spec.feature_specs()
    several = not isinstance(names[name], ExprFeature) and found not in names
    return found == name or (several and found is not None and found.startswith(f"{name}_"))


def _declared(spec: Spec, behind: Behind) -> tuple[str, bool]:
    """What lookups, histories and `known_at` say of what is behind a feature, and whether that leaves a
    question open."""
    data, told, open_ = spec.data, [], False
    later = data.tables[data.events].known_at if data.events in data.tables else None
    sides = _looked_up(spec, behind)
    if any(c.partition(".")[0] not in sides for c in behind.columns):
        told.append("sent by the caller")
    if later in behind.columns:
        told.append(f"reads {later}, which is when the rest becomes known")
        open_ = True
    for source in sorted(sides):
        text, static = _lookup(data.tables[source], source, data.lead)
        told.append(text)
        open_ = open_ or (static and data.time is not None)
    told += dict.fromkeys(_past(h, data.lead) for h in behind.histories)
    if behind.functions:
        labels = ", ".join(f.label for f in behind.functions)
        told.append(f"computed by {labels}, which could read more than its columns: look at its code")
        open_ = True
    return "; ".join(told), open_


def _past(history: History, lead: str | None) -> str:
    known = f"the later of {history.on} and {history.known_at}" if history.known_at else history.on
    moment = f"{lead} before the event" if lead else "the moment of prediction"
    return f"rows of {history.table} that were known (by {known}) {moment}"


def _lookup(table: TableSpec, name: str, lead: str | None) -> tuple[str, bool]:
    by = table.known_at or table.time
    if by is None:
        return (
            f"{name} is looked up without time: its rows are what they are today, not what they were then",
            True,
        )
    bound = f"{name} known by {by} " + (f"{lead} before" if lead else "at the moment of prediction")
    return bound + (f", at most {table.ttl} old" if table.ttl else ""), False


# --- columns, tables, bars -------------------------------------------------------------------------


def _columns(spec: Spec, compiled: Compiled | None) -> tuple[DesignColumn, ...]:
    names = raw_columns(compiled) if compiled else list(spec.problem.columns)
    done = {n: t if isinstance(t, str) else t.do for n, t in spec.data.pii.items()}
    meanings = {h.column: h.text for h in compiled.histories} if compiled else {}
    meanings |= spec.problem.columns
    return tuple(
        DesignColumn(
            name,
            compiled.types[name].value if compiled else "",
            meanings.get(name, ""),
            done.get(name, ""),
        )
        for name in names
    )


def _tables(spec: Spec, compiled: Compiled | None) -> tuple[ServedTable, ...]:
    """Side tables that features read; today's rule is not served."""
    used: dict[str, set[str]] = {}
    read = {c for e in compiled.inputs for c in e.columns} if compiled else set()
    for column in behind_of(compiled, sorted(read)).columns if compiled else ():
        table, dot, name = column.partition(".")
        if dot and table in spec.data.tables and table != spec.data.events:
            used.setdefault(table, set()).add(name)
    return tuple(
        ServedTable(
            name,
            keys_of(spec.data.tables[name].key),
            tuple(sorted(used[name])),
            spec.data.tables[name].time or "",
            spec.data.tables[name].known_at or "",
            spec.data.tables[name].ttl or "",
        )
        for name in sorted(used)
    )


def _histories(compiled: Compiled | None) -> tuple[ServedHistory, ...]:
    return tuple(
        ServedHistory(
            h.column, h.table, h.text, f"the later of {h.on} and {h.known_at}" if h.known_at else h.on
        )
        for h in (compiled.histories if compiled else ())
    )


def _bars(spec: Spec) -> tuple[Bar, ...]:
    found = []
    for bar in bars_of(spec):
        if bar.rule is None:
            continue
        if bar.factor is None:
            rule = f"{bar.rule.op} {bar.rule.bound:g}"
        else:
            rule = f"{bar.rule.op} {bar.factor:g} × today's on the same rows"
        found.append(Bar(bar.gate, bar.name, rule))
    return tuple(found)
