"""What the design document says, gathered from spec and ledger. Changes nothing and asks no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.checks.lint.registry import LEAKAGE
from headrace.core.codec import from_json, from_plain
from headrace.core.document import Bar, Design, DesignColumn, DesignFeature, Risk, ServedTable
from headrace.core.errors import NotFound, SpecError
from headrace.core.ports import Store
from headrace.core.schema import Snapshot, Type
from headrace.core.spec import FeatureSpec, ParsedSpec, Spec
from headrace.core.spec.features import EncodeFeature, ExprFeature
from headrace.core.spec.tables import ColumnCleaning, TableSpec
from headrace.core.task import Task
from headrace.core.views import RELEASE_KINDS, RUN_KINDS, RunView, releases, runs
from headrace.engine.check import check
from headrace.engine.compile import Compiled, keys_of
from headrace.engine.measures import bars_of, find_metric
from headrace.engine.pins import output_of, snapshots_of_run
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
        features=_features(spec, compiled, ended, store),
        columns=_columns(spec, compiled),
        tables=_tables(spec, compiled),
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
    spec: Spec, compiled: Compiled | None, ended: Sequence[RunView], store: Store
) -> tuple[DesignFeature, ...]:
    inspected = next((r for r in reversed(ended) if _came_to(r, "inspect")), None)
    before = _spec_of(store, inspected)
    kinds = {f["name"]: f["kind"] for f in _facts(store, inspected, "features").get("features", ())}
    findings = inspected.summary.get("findings", ()) if inspected else ()
    found = []
    for name, feature in spec.feature_specs().items():
        exprs = _read_by(compiled, name, feature) if compiled else ()
        columns = tuple(dict.fromkeys(c for e in exprs for c in e.columns))
        same = inspected is not None and _seen_alike(spec, before, name, columns)
        typed = _type_of(feature, exprs)
        risk, why = _risk(spec, name, columns, inspected if same else None, findings)
        found.append(
            DesignFeature(
                name=name,
                expression=feature.text,
                source=_sources(spec, columns),
                columns=columns,
                type=kinds.get(name, typed) if same else typed,
                cleaning=tuple(
                    t for c in columns if c in spec.clean.columns for t in _cleaning(c, spec.clean.columns[c])
                ),
                risk=risk,
                why=why,
                description=feature.description,
            )
        )
    return tuple(found)


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
    if not isinstance(feature, ExprFeature):
        return "number"
    types = {Type.TEXT: "category", Type.TIME: "number"}
    return feature.kind or next((types.get(e.type, e.type.value) for e in exprs), "")


def _came_to(run: RunView, stage: str) -> bool:
    return any(s["name"] == stage and s["status"] != "failed" for s in run.summary.get("stages", ()))


def _seen_alike(spec: Spec, before: Mapping[str, Any], name: str, columns: Sequence[str]) -> bool:
    """Whether what the linter saw of a feature is what the spec says now: its expression, its tables, the
    moment, the target and the split."""
    now = {**spec.plain(), "features": features_of(spec.plain())}
    before = {**before, "features": features_of(before)}
    paths = [("features", name), ("split",), ("problem", "target"), ("data", "time"), ("data", "lead")]
    paths += [("data", "tables", t) for t in _sources(spec, columns)]
    return all(_at(now, p) == _at(before, p) for p in paths)


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _sources(spec: Spec, columns: Sequence[str]) -> tuple[str, ...]:
    sides = {t for c in columns for t, dot, _ in [c.partition(".")] if dot and t in spec.data.tables}
    events = any(c.partition(".")[0] not in sides for c in columns)
    return ((spec.data.events,) if events else ()) + tuple(sorted(sides))


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
    columns: Sequence[str],
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
    declared, open_ = _declared(spec, columns)
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


def _declared(spec: Spec, columns: Sequence[str]) -> tuple[str, bool]:
    """What lookups and `known_at` say of a feature's columns, and whether that leaves a question open."""
    data, told, open_ = spec.data, [], False
    later = data.tables[data.events].known_at if data.events in data.tables else None
    for source in _sources(spec, columns):
        if source == data.events:
            told.append("sent by the caller")
            if later in columns:
                told.append(f"reads {later}, which is when the rest becomes known")
                open_ = True
            continue
        text, static = _lookup(data.tables[source], source, data.lead)
        told.append(text)
        open_ = open_ or (static and data.time is not None)
    return "; ".join(told), open_


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
    return tuple(
        DesignColumn(
            name,
            compiled.types[name].value if compiled else "",
            spec.problem.columns.get(name, ""),
            done.get(name, ""),
        )
        for name in names
    )


def _tables(spec: Spec, compiled: Compiled | None) -> tuple[ServedTable, ...]:
    """Side tables that features read; today's rule is not served."""
    used: dict[str, set[str]] = {}
    for expression in compiled.inputs if compiled else ():
        for column in expression.columns:
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
