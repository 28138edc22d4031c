"""The draft as text: YAML with its reasons as comments. Says what was found; finds nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.schema import Type
from headrace.core.task import Kind
from headrace.draft.features import Drafted, DraftedFeature
from headrace.draft.look import ZONE
from headrace.draft.names import flow_scalar, scalar, shown, sql_name
from headrace.draft.problem import Aim
from headrace.draft.roles import Drawn, Roles
from headrace.draft.suspects import Suspect

_WIDTH = 38
_LINE = 110

MANY_ROWS = 500_000
"""Above it a draft compares candidates on one holdout: cross-validation would fit each five times."""


@dataclass(frozen=True)
class Parts:
    """Everything that the text is made of."""

    project: str
    table: str
    read: str
    rows: int
    columns: int
    owner: str
    aim: Aim
    roles: Roles
    types: Mapping[str, Type]
    drawn: Drawn
    features: Drafted
    expectations: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    personal: Mapping[str, str] = field(default_factory=dict)
    """What looks personal, by column."""


def spec_text(parts: Parts) -> str:
    """The commented headrace.yaml."""
    lines = [
        f"# Drafted from {shown(parts.read, 60)}: {parts.rows:,} rows, {parts.columns:,} columns.",
        "# It runs as it stands, and every line is yours to change: `headrace check`, then `headrace run`.",
        "# Fill in `today` and `ship_at` before: only the first opening of the test set shows an estimate.",
        "headrace: 1",
        f"project: {scalar(parts.project)}",
        "",
        *_problem(parts),
        "",
        *_data(parts),
        "",
        *_split(parts),
        "",
        *_features(parts),
        "",
        *_models(parts),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str = "", width: int = _WIDTH) -> str:
    return f"{text:<{width}} # {comment}" if comment else text


def _comments(texts: Iterable[str], indent: str = "") -> list[str]:
    """Comment lines, wrapped."""
    lines: list[str] = []
    for text in texts:
        left = f"{indent}#"
        for word in text.split():
            if len(left) + 1 + len(word) > _LINE and left != f"{indent}#":
                lines.append(left)
                left = f"{indent}#  "
            left += f" {word}"
        lines.append(left)
    return lines


def _problem(parts: Parts) -> list[str]:
    aim = parts.aim
    target = shown(aim.column)
    lines = [
        "problem:",
        f"  objective: {scalar(f'Predict {target}')}",
        f"  decision: {scalar(f'Use the predicted {target} where the true one is not known yet')}",
        _line(f"  task: {aim.kind.value}", f"{target} is {aim.reason}"),
        _line(f"  target: {scalar(aim.expression)}", _dropped(aim)),
    ]
    if aim.kind is Kind.BINARY:
        negative = next(c for c in aim.classes if c != aim.positive)
        lines.append(
            _line(f"  positive: {_value(aim.positive)}", f"the other class is {shown(_value(negative))}")
        )
    lines += [
        _line(f"  metric: {aim.metric}", _METRICS[aim.kind]),
        *_comments(aim.notes, "  "),
        *_comments(_suspects_of_target(parts), "  "),
        f"  # today: {_TODAY}",
        f"  # ship_at: {_SHIP_AT[aim.kind]}   # what the test must reach at the safe end of its interval",
        _line(f"  owners: {{default: {flow_scalar(parts.owner)}}}", "shown where a gate blocks"),
        _line("  approval: self", "a project of one; `other` asks for a second person's approval"),
    ]
    return lines


_METRICS = {
    Kind.BINARY: "or roc_auc, average_precision, precision, recall, log_loss",
    Kind.MULTICLASS: "every class counts alike; or f1_weighted, accuracy",
    Kind.REGRESSION: "in the target's unit; or mae, r2, mape",
}
_TODAY = "{value: 0.5, source: last report}   # reached without a model, which has to beat it"
_SHIP_AT = {
    Kind.BINARY: "0.5",
    Kind.MULTICLASS: "0.5",
    Kind.REGRESSION: '{rmse: "<= 10"}',
}


def _dropped(aim: Aim) -> str:
    return f"{aim.dropped:,} rows have none; they are dropped and counted" if aim.dropped else ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return scalar(value) if isinstance(value, str) else f"{value:.17g}"


def _suspects_of_target(parts: Parts) -> list[str]:
    return [f"{shown(s.column)}: {s.reason}" for s in parts.suspects if s.column == parts.aim.column]


def _data(parts: Parts) -> list[str]:
    roles = parts.roles
    lines = ["data:", _line(f"  events: {parts.table}", "one row a prediction")]
    if roles.key is not None:
        lines.append(_line(f"  id: {scalar(roles.key)}", "different in every row"))
    if roles.time is not None:
        lines += [
            _line(f"  time: {scalar(roles.time)}", "the moment of the prediction"),
            "  # lead: 60 min   # if it is made that long before",
            _line(f"  zone: {ZONE}", "check it: hour() reads its clock, and times without a zone are in it"),
        ]
    elif any(t is Type.TIME for t in parts.types.values()):
        lines.append(
            _line(f"  zone: {ZONE}", "check it: hour() reads its clock, and times without a zone are in it")
        )
    lines += ["  tables:", f"    {parts.table}: {{read: {flow_scalar(parts.read)}}}"]
    if parts.expectations:
        lines.append(_line("  expect:", "all of it holds in this file; new data that breaks it is stopped"))
        lines += [f"    - {scalar(e)}" for e in parts.expectations]
    return lines + _pii(parts)


def _pii(parts: Parts) -> list[str]:
    """What becomes of personal columns: those that nothing needs are dropped."""
    if not parts.personal:
        return []
    needed = {parts.roles.key, parts.roles.time, parts.aim.column, parts.drawn.spec.group}
    lines = [_line("  pii:", "personal data, and what becomes of it before anything is kept")]
    for column, found in parts.personal.items():
        name = scalar(f"{parts.table}.{column}" if "." in column else column)
        do = "{do: keep, why: the draft needs it; hash it instead if you can}" if column in needed else "drop"
        line = _line(f"    {name}: {do}", found)
        lines += [line] if len(line) <= _LINE else [*_comments([found], "    "), f"    {name}: {do}"]
    return lines


def _split(parts: Parts) -> list[str]:
    spec = parts.drawn.spec
    more = f", group: {flow_scalar(spec.group)}" if spec.group else ""
    return [
        *_comments([parts.drawn.reason, *parts.drawn.notes]),
        f"split: {{by: {spec.by}{more}, validation: 15%, test: 15%}}",
    ]


def _features(parts: Parts) -> list[str]:
    lines = ["features:"]
    texts = [_feature(f) for f in parts.features.features]
    width = min(_WIDTH, max(len(t) for t in texts) + 1)
    for text, feature in zip(texts, parts.features.features, strict=True):
        line = _line(text, feature.note, width)
        lines += [line] if len(line) <= _LINE else [*_comments([feature.note], "  "), text]
    if parts.features.left_out:
        lines.append("  # Left out:")
        reasons = [f"{shown(sql_name(c))}: {reason}" for c, reason in parts.features.left_out]
        lines += _comments([f"- {r}" for r in reasons], "  ")
    return lines


def _feature(feature: DraftedFeature) -> str:
    name = flow_scalar(feature.name)
    if feature.category:
        return f"  {name}: {{expr: {flow_scalar(feature.expression)}, kind: category}}"
    return f"  {name}: {scalar(feature.expression)}"


def _models(parts: Parts) -> list[str]:
    if parts.rows > MANY_ROWS:
        return [
            _line("models: [linear, boosting]", "add tree and forest for the patient"),
            _line("cv: {holdout: true}", f"{parts.rows:,} rows: one holdout is exact enough"),
        ]
    return ["models: [linear, tree, forest, boosting]"]
