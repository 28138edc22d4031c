"""Write docs/reference.md from the code's own registries: commands, settings, gates, stages, events.

`python scripts/reference.py` writes it; a test fails when the written copy has drifted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from headrace.cli.root import cli
from headrace.core.event import KINDS
from headrace.core.gates import GATES, STAGES
from headrace.core.spec.models import Spec
from headrace.learn.registry import candidates

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
WORDS = {str: "text", int: "number", float: "number", bool: "true or false", date: "date"}


def main() -> None:
    TARGET.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The whole document."""
    parts = [
        "# Reference",
        "Written from the code by `python scripts/reference.py`; a test fails when it has drifted.",
        *commands(),
        *settings(),
        *stages(),
        *gates(),
        *models(),
        *events(),
    ]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[str]:
    """Every command with its help text, arguments, options and example."""
    yield "## Commands"
    yield (
        "Exit codes: 0 done or released, 1 our fault, 2 your mistake, 3 a gate blocked, 4 awaiting an "
        "approval, 130 stopped by Ctrl-C. Messages go to standard error, results to standard output."
    )
    with click.Context(cli, info_name="headrace") as ctx:
        for name in cli.list_commands(ctx):
            command = cli.get_command(ctx, name)
            if command is None:
                continue
            yield from _command(f"headrace {name}", command)
            if isinstance(command, click.Group):
                for sub, inner in command.commands.items():
                    yield from _command(f"headrace {name} {sub}", inner)


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = " ".join(
        p.make_metavar(click.Context(command)) for p in command.params if p.param_type_name == "argument"
    )
    yield f"### `{name}{' ' + arguments if arguments else ''}`"
    yield " ".join((command.help or "").split())
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        yield "\n".join(f"- `{', '.join(o.opts)}`: {o.help or ''}".rstrip(": ") for o in options)
    if command.epilog:
        yield "\n".join(f"    {e.strip()}" for e in command.epilog.split("Example: ") if e.strip())


def settings() -> Iterator[str]:
    """Every key of headrace.yaml."""
    yield "## Settings: `headrace.yaml`"
    yield "| key | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(_fields(Spec, ""))


def _fields(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        path = f"{prefix}{name}"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        default = (
            "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        )
        yield f"| `{path}` | {_type(field.annotation)} | {default} | {meaning} |"
        for sub in inner:
            holder = f"{path}.NAME." if _is_mapping(field.annotation) else f"{path}."
            yield from _fields(sub, holder)


def _is_mapping(annotation: Any) -> bool:
    return str(annotation).startswith("dict[")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{a}`" for a in get_args(annotation))
    return " or ".join(dict.fromkeys(_words(annotation))) or "text"


def _words(annotation: Any) -> Iterator[str]:
    """What may be written, alternatives apart; of a list or mapping, also what it holds."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield _type(annotation)
    elif origin is Annotated:
        yield from _words(inside[0])
    elif origin is dict:
        held = " or ".join(dict.fromkeys(_words(inside[1])))
        yield f"mapping of names to {'mappings' if held == 'mapping' else held}"
    elif origin is tuple:
        held = " or ".join(dict.fromkeys(_words(inside[0])))
        yield f"list of {'mappings' if held == 'mapping' else held}"
    elif origin in (Union, UnionType):
        for alternative in inside:
            yield from _words(alternative)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "mapping"
    elif annotation in WORDS:
        yield WORDS[annotation]


def _default(value: Any) -> str:
    if value in (None, "", (), {}):
        return "–"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`".replace("True", "true").replace("False", "false")


def stages() -> Iterator[str]:
    """Every stage, in order."""
    yield "## Stages"
    yield "\n".join(f"{i}. **{n}**: {what}" for i, (n, what) in enumerate(STAGES.items(), 1))


def gates() -> Iterator[str]:
    """Every gate."""
    yield "## Gates"
    yield (
        "A gate's verdict is pass, fail, unknown (never passes) or not applicable (recorded with why). "
        "A waiver lets a failed or unknown gate pass until its last day; it shows wherever the release shows."
    )
    lines = [
        f"| `{g.name}` | {g.stage} | {g.asks} | {g.fix} | {'yes' if g.waivable else '**no**'} |"
        for g in GATES.values()
    ]
    yield "| gate | after | asks | when it blocks | can be waived |\n|---|---|---|---|---|\n" + "\n".join(
        lines
    )


def models() -> Iterator[str]:
    """Every candidate, with its defaults and what a search may vary."""
    yield "## Candidates: `models:`"
    yield "Any importable scikit-learn estimator works too, as `module:Class`."
    lines = [
        f"| `{n}` | {c.summary} | {', '.join(sorted(t.value for t in c.tasks))} |"
        for n, c in candidates().items()
    ]
    yield "| name | what it is | tasks |\n|---|---|---|\n" + "\n".join(lines)


def events() -> Iterator[str]:
    """Every kind of event."""
    yield "## Events"
    yield "The ledger's lines, each chained to the one before by its digest. Old versions are read forever."
    lines = [f"| `{kind}` | {version} | {what} |" for kind, (version, what) in KINDS.items()]
    yield "| kind | version | what it records |\n|---|---|---|\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
