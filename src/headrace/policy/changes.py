"""What changed from one system to another, component by component: what was declared, not what follows from
it (tuned values, thresholds, chosen models)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.core.digest import digest

KEYS: Mapping[str, tuple[str, ...]] = {
    "data": ("data", "clean", "split"),
    "features": ("features",),
    "model": ("models", "ensemble", "calibrate", "uncertainty"),
    "tuning": ("tune", "cv", "seed", "threshold"),
    "code": (),
    "rules": ("review",),
}
"""The components of a system, and the keys of the spec that declare each. All other keys are the frame: what
is asked of a system and how it is judged. What decides beside the model counts, too: rules, what becomes of
odd inputs, who looks."""
FRAME = "frame"
_RULES = ("rules", "inputs")  # of `serve`; the rest of it changes no answer
_ALSO_FRAME = ("expect", "population")  # of `data`: they judge it, and change nothing in it
_SHOWN = 6


@dataclass(frozen=True)
class Table:
    """A table as it was read."""

    rows: int
    content: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class System:
    """What a run was made from.

    spec: plain, defaults left out. tables: as they were read; None before they were. code: digests of the
    user's own files, by path; modules: of headrace's; None where it was not recorded. version: headrace's.
    commit: of the project, where it stands in git. given: the model that a script gave, and its digest.
    """

    spec: Mapping[str, Any]
    tables: Mapping[str, Table] | None = None
    code: Mapping[str, str] | None = None
    modules: Mapping[str, str] | None = None
    version: str = ""
    commit: str = ""
    given: tuple[str, str] | None = None

    def digest(self) -> str:
        """The system's name: two that differ in no component have the same."""
        parts = {c: part for c in KEYS if (part := _part(self.spec, c)) or c != "rules"}
        tables = {n: t.content for n, t in (self.tables or {}).items()}
        return digest([parts, tables, dict(self.code or {}), dict(self.modules or {}), self.given])


@dataclass(frozen=True)
class Change:
    """What changed in one component, in a few words each."""

    component: str
    texts: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether the system itself changed, and not only what is asked of it."""
        return self.component != FRAME

    def __str__(self) -> str:
        more = len(self.texts) - _SHOWN
        return f"{self.component}: {' '.join(self.texts[:_SHOWN])}" + (f" (+{more} more)" if more > 0 else "")


def changes(new: System, old: System) -> tuple[Change, ...]:
    """Every component that differs, in the order of `KEYS`, the frame last."""
    found = []
    for component in (*KEYS, FRAME):
        texts = [*_EXTRA.get(component, _none)(new, old)]
        texts += _differences("", _part(new.spec, component), _part(old.spec, component), component)
        if texts:
            found.append(Change(component, tuple(texts)))
    return tuple(found)


def name_of(new: System, old: System | None) -> str:
    """A run's name: what changed since its parent.

    >>> name_of(System({"features": {"a": "x", "b": "y"}, "seed": 1}), System({"features": {"a": "x"}}))
    'features: +b; tuning: seed = 1'
    """
    if old is None:
        return "first run"
    return "; ".join(str(c) for c in changes(new, old)) or "no change"


def counted(found: Sequence[Change]) -> tuple[Change, ...]:
    """The changes of the system itself."""
    return tuple(c for c in found if c.counts)


def arm(old: Mapping[str, Any], new: Mapping[str, Any], component: str) -> dict[str, Any]:
    """The plain spec of an arm: the old system with one component of the new one, asked and judged as the new
    one is."""
    every = {k for keys in KEYS.values() for k in keys}
    taken = set(KEYS.get(component, ()))
    made = {k: v for k, v in old.items() if k in every and k not in taken}
    made |= {k: v for k, v in new.items() if k not in every or k in taken}
    ruling = new if component == "rules" else old
    serve = {k: v for k, v in new.get("serve", {}).items() if k not in _RULES}
    serve |= {k: v for k, v in ruling.get("serve", {}).items() if k in _RULES}
    made.pop("serve", None)
    return {**made, "serve": serve} if serve else made


def _part(spec: Mapping[str, Any], component: str) -> dict[str, Any]:
    """The part of a plain spec that belongs to a component."""
    every = {k for keys in KEYS.values() for k in keys}
    judged = {k: v for k, v in spec.get("data", {}).items() if k in _ALSO_FRAME}
    if component == FRAME:
        rest = {k: v for k, v in spec.items() if k not in every and k != "serve"}
        kept = {k: v for k, v in spec.get("serve", {}).items() if k not in _RULES}
        return rest | ({"serve": kept} if kept else {}) | ({"data": judged} if judged else {})
    part = {k: spec[k] for k in KEYS[component] if k in spec}
    if component == "features":
        part["features"] = features_of(spec)
    if component == "rules" and (ruled := {k: v for k, v in spec.get("serve", {}).items() if k in _RULES}):
        part["serve"] = ruled
    if "data" in part:
        part["data"] = {k: v for k, v in part["data"].items() if k not in _ALSO_FRAME}
    return part


def features_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The features of a plain spec, those of its lock among them; under `auto` the settings of the proposals
    alone."""
    named = dict(spec.get("features", {}))
    auto = named.pop("auto", None)
    if not isinstance(auto, Mapping):
        return named if auto is None else {**named, "auto": auto}
    settings = {k: v for k, v in auto.items() if k != "lock"}
    return {**auto.get("lock", {}), **named, "auto": settings}


def _differences(path: str, new: Any, old: Any, component: str) -> Iterator[str]:
    """`+added -removed ~changed`, or `path old → new` where both are short."""
    if new == old:
        return
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for key in [*new, *(k for k in old if k not in new)]:
            plain = path in ("", "features", "data") or (path == "serve" and component == "rules")
            below = key if plain else f"{path}.{key}"
            if key not in old:
                yield f"+{below}" if path else _added(below, new[key], component)
            elif key not in new:
                yield f"-{below}"
            else:
                yield from _differences(below, new[key], old[key], component)
    elif isinstance(new, list) and isinstance(old, list):
        ahead = "" if path == "models" else f"{path} "
        now, before = {_label(m): m for m in new}, {_label(m): m for m in old}
        deltas = [f"+{n}" for n in now if n not in before] + [f"-{n}" for n in before if n not in now]
        deltas += [f"~{n}" for n in now if n in before and now[n] != before[n]]
        yield ahead + " ".join(deltas) if deltas else f"~{path} (order)"
    elif component == "features" or isinstance(new, Mapping | list) or isinstance(old, Mapping | list):
        yield f"~{path}"
    else:
        yield f"{path} {_short(old)} → {_short(new)}"


def _added(path: str, value: Any, component: str) -> str:
    """A whole key of the spec that was not there."""
    if isinstance(value, Mapping | list) or component == "features":
        return f"+{path}"
    return f"{path} = {_short(value)}"


def _short(value: Any) -> str:
    text = "default" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _label(item: Any) -> str:
    return str(item.get("name") or item.get("use")) if isinstance(item, Mapping) else str(item)


def _none(new: System, old: System) -> Iterator[str]:
    del new, old
    return iter(())


def _of_data(new: System, old: System) -> Iterator[str]:
    for name, table in (new.tables or {}).items():
        before = (old.tables or {}).get(name)
        if before is None or table.content == before.content:
            continue
        moved = [f"+{name}.{c}" for c in table.columns if c not in before.columns]
        moved += [f"-{name}.{c}" for c in before.columns if c not in table.columns]
        yield from moved
        more = table.rows - before.rows
        if more:
            yield f"{name} {more:+,} rows"
        elif not moved:
            yield f"~{name} (still {table.rows:,} rows)"


def _of_model(new: System, old: System) -> Iterator[str]:
    if new.given != old.given:
        if new.given is not None:
            yield f"{new.given[0]}, given by a script"
        elif old.given is not None:
            yield f"-{old.given[0]}, given by a script"


def _of_code(new: System, old: System) -> Iterator[str]:
    if new.code is not None and old.code is not None:
        files = [f"+{f}" for f in new.code if f not in old.code]
        files += [f"-{f}" for f in old.code if f not in new.code]
        files += [f"~{f}" for f in new.code if f in old.code and new.code[f] != old.code[f]]
        yield from files
        if files and new.commit != old.commit and new.commit and old.commit:
            yield f"(commit {old.commit[:7]} → {new.commit[:7]})"
    if new.modules is not None and old.modules is not None:
        # A module that only one of them used was left out or taken in by the spec.
        touched = [m for m in new.modules if old.modules.get(m, new.modules[m]) != new.modules[m]]
        if new.version != old.version and touched:
            yield f"headrace {old.version} → {new.version}"
        elif touched:
            yield f"~headrace ({len(touched)} of its own files)"


_EXTRA = {"data": _of_data, "model": _of_model, "code": _of_code}


@dataclass(frozen=True)
class Arm:
    """One change alone. effect: how much better the metric got by it, in the metric's unit; interval: 95%.
    run: the run that measured it. why_none: why it could not be told apart."""

    component: str
    changed: str
    run: str = ""
    effect: float | None = None
    interval: tuple[float, float] | None = None
    says: str = ""
    separable: bool = True
    why_none: str = ""


@dataclass(frozen=True)
class Ablation:
    """What each change of a run against the champion did alone, on the same fresh validation rows.

    total: of all changes together. left_over: the total less the arms: what the changes do to each other (and
    what the frame's changes did). complete: every arm was measured, or can't exist without another.
    """

    run: str
    champion: str
    system: str
    metric: str
    rows: int
    units: int
    arms: tuple[Arm, ...]
    total: Arm
    left_over: Arm
    complete: bool
    frame: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)
