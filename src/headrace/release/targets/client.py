"""A typed Python client of one release: one file, the standard library alone.

What it sends is named as the release reads it; fields whose names are no identifiers of Python get one.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterable

from headrace.core.schema import Type
from headrace.core.task import Kind, Task, labels
from headrace.release.manifest import Manifest
from headrace.release.targets.client_text import ANSWER, CALL, HEAD

_TYPES = {
    Type.NUMBER: "float | None",
    Type.BOOL: "bool | None",
    Type.TEXT: "str | None",
    Type.TIME: "datetime | str | None",
}
_TAKEN = frozenset(
    {"self", "plain", "float", "bool", "str", "datetime", "dict", "Any", *keyword.kwlist, *keyword.softkwlist}
)


def client_file(manifest: Manifest, release: str) -> str:
    """The module's source."""
    types = manifest.serving.event_types()
    names = identifiers(types)
    fields = [f"    {names[n]}: {_TYPES[kind]}{_meaning(manifest, n, names[n])}" for n, kind in types.items()]
    plain = [f"            {json.dumps(n)}: _plain(self.{names[n]})," for n in types]
    head = HEAD.format(project=_text(manifest.project), release=_text(release), target=_text(manifest.target))
    row = [
        "@dataclass(frozen=True, kw_only=True)",
        "class Row:",
        '    """What is sent of one case; None: not known. Times without an offset are of '
        f'{_text(manifest.serving.zone)}."""',
        "",
        *(fields or ["    pass"]),
        "",
        "    def plain(self) -> dict[str, Any]:",
        '        """As it is sent."""',
        "        return {",
        *plain,
        "        }",
    ]
    answer = ANSWER.format(fields="\n".join(_answer(manifest)), target=_text(manifest.target))
    return "\n".join([head, "", *row, "", "", answer]) + CALL


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """A name in Python for each, all different."""
    found: dict[str, str] = {}
    taken = set(_TAKEN)
    for name in names:
        made = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "field"
        made = f"field_{made}" if made[0].isdigit() else made
        while made in taken:
            made += "_"
        taken.add(made)
        found[name] = made
    return found


def _meaning(manifest: Manifest, name: str, called: str) -> str:
    told = manifest.columns.get(name, "")
    parts = ([] if called == name else [repr(name)]) + ([_text(told)] if told else [])
    return f"  # {': '.join(parts)}" if parts else ""


def _answer(manifest: Manifest) -> list[str]:
    """The fields that only some releases' answers have."""
    serving = manifest.serving
    sure = serving.sureness
    classes = _classes(serving.task)
    lines = [f"    prediction: {classes} | None"]
    if serving.task.kind is Kind.BINARY:
        lines.append("    probability: float | None")
    elif serving.task.kind is Kind.MULTICLASS:
        lines.append("    probability: Mapping[str, float] | None")
    if sure is not None and serving.task.kind is Kind.REGRESSION:
        lines += ["    lower: float | None", "    upper: float | None"]
    elif sure is not None:
        lines.append(f"    set: tuple[{classes}, ...]")
        if sure.abstain:
            lines.append("    abstain: bool")
    return lines


def _classes(task: Task) -> str:
    """The type of a prediction."""
    every = labels(task)
    if not every or any(isinstance(c, float) for c in every):
        return "float"
    if len(every) > 20:
        return " | ".join(sorted({type(c).__name__ for c in every}))
    return f"Literal[{', '.join(repr(c) for c in every)}]"


def _text(value: str) -> str:
    """Text in a comment or docstring: one line, nothing that ends it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return line.replace("\\", "/").replace('"', "'")
