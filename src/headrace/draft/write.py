"""The draft as text: YAML with its reasons as comments. Says what was found; finds nothing itself."""

from __future__ import annotations

import re
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
from headrace.draft.spelling import Dialect
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
    dialect: Dialect = field(default_factory=Dialect)
    copies: int = 0
    """How many rows are copies of others."""
    slices: tuple[str, ...] = ()
    """Columns of few values, as expressions: groups worth a look of their own."""


def spec_text(parts: Parts) -> str:
    """The commented headrace.yaml."""
    lines = [
        f"# Drafted from {shown(parts.read, 60)}: {parts.rows:,} rows, {parts.columns:,} columns.",
        "# It runs as it stands, and every line is yours to change. In this order:",
        "#   headrace check                what is wrong with the spec, before any work",
        "#   headrace run --to evaluate    everything but the test: as often as you like",
        "#   headrace profile --html profile.html    what the training rows hold",
        "#   headrace show                 leaderboard, gates, findings",
        "#   headrace run                  opens the sealed test. Fill in `today` and `ship_at` before:",
        "#                                 only the first opening shows an estimate, later ones a verdict.",
        "headrace: 1",
        f"project: {scalar(parts.project)}",
        "",
        *_problem(parts),
        "",
        *_data(parts),
        "",
        *_clean(parts),
        *_split(parts),
        "",
        *_features(parts),
        "",
        *_models(parts),
        "",
        *_more(parts),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str = "", width: int = _WIDTH) -> str:
    return f"{text:<{width}} # {comment}" if comment else text


def _wide(text: str, comment: str) -> list[str]:
    """A line with its comment behind it, or above it where both are too long for one."""
    line = _line(text, comment)
    if len(line) <= _LINE or not comment:
        return [line]
    return [*_comments([comment], text[: len(text) - len(text.lstrip())]), text]


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
        *_target(aim),
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


def _target(aim: Aim) -> list[str]:
    """The target; a long one is folded over several lines, which YAML joins again."""
    text = f"  target: {scalar(aim.expression)}"
    if len(text) <= _LINE or not aim.expression.isprintable() or "  " in aim.expression:
        return _wide(text, _dropped(aim))
    head = _line("  target: >-", _dropped(aim))
    return [head, *(f"    {part}" for part in re.split(r" (?=when |end$)", aim.expression))]


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
    lines += ["  tables:", *_table(parts)]
    if parts.expectations:
        lines.append(_line("  expect:", "all of it holds in this file; new data that breaks it is stopped"))
        lines += [f"    - {scalar(e)}" for e in parts.expectations]
    return lines + _pii(parts)


def _table(parts: Parts) -> list[str]:
    settings = [f"read: {flow_scalar(parts.read)}"]
    if parts.dialect.decimal != ".":
        settings.append(f"decimal: {_quoted(parts.dialect.decimal)}")
    if parts.dialect.nulls:
        settings.append(f"nulls: [{', '.join(_quoted(v) for v in parts.dialect.nulls)}]")
    why = "nulls: what stands for missing among its numbers" if parts.dialect.nulls else ""
    return _wide(f"    {parts.table}: {{{', '.join(settings)}}}", why)


def _quoted(value: str) -> str:
    """A text in quotes: `?` and `-` alone would mean something else to YAML."""
    return scalar(value) if scalar(value)[:1] in "'\"" else "'" + value.replace("'", "''") + "'"


def _clean(parts: Parts) -> list[str]:
    """How columns and training rows are cleaned; part of the model, so callers need not do it."""
    columns = parts.features.cleaning
    if not columns and not parts.copies:
        return []
    lines = ["clean:"]
    if columns:
        lines.append("  columns:")
        for entry in columns:
            lines += _wide(f"    {flow_scalar(entry.column)}: {entry.settings}", entry.note)
    if parts.copies:
        told = f"{parts.copies:,} rows are copies of others; in training each counts once"
        if parts.drawn.spec.group is None:
            told += ". Take them out of the file: copies in the test were seen in training"
        lines += _wide("  rows: {duplicates: true}", told)
    return [*lines, ""]


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


def _more(parts: Parts) -> list[str]:
    """What is worth a try next, as comments."""
    lines = [
        "# Worth a try, once this runs:",
        "# tune: {trials: 60}                # search for better parameters of the best three candidates",
        "# ensemble: blend                   # kept only where it is better beyond noise",
    ]
    if parts.aim.kind is Kind.REGRESSION:
        lines.append("# uncertainty: {level: 0.9}         # an interval with every prediction")
    else:
        lines += [
            "# calibrate: sigmoid                # probabilities that mean what they say",
            "# uncertainty: {level: 0.9, abstain: true}   # no answer where several classes are likely",
        ]
    if parts.aim.kind is Kind.BINARY:
        lines += [
            "# problem.goal: maximise precision subject to recall >= 0.8",
            "# problem.value: {true_positive: 5, false_positive: -1, unit: EUR}   # what decisions are worth",
        ]
    if parts.slices:
        told = ", ".join(flow_scalar(s) for s in parts.slices)
        lines.append(f"# evaluate: {{slices: [{told}]}}   # groups that are looked at by themselves")
    return lines
