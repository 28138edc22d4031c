"""Text to Spec: every mistake with its line, what is wrong, and how to mend it, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from headrace.core.errors import Problem, SpecError, did_you_mean
from headrace.core.spec.features import AUTO, Auto
from headrace.core.spec.lock import Lock
from headrace.core.spec.models import Spec

FILE_NAME = "headrace.yaml"
LOCK_NAME = "features.lock.yaml"
Path = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class ParsedLock:
    """A valid lock, its text, and where each of its parts stands in the file."""

    lock: Lock
    text: str
    lines: Mapping[Path, int] = field(default_factory=dict)
    name: str = LOCK_NAME


@dataclass(frozen=True)
class ParsedSpec:
    """A valid spec and where each of its parts stands in the file; `lock` where proposals are taken from."""

    spec: Spec
    lines: Mapping[Path, int] = field(default_factory=dict)
    name: str = FILE_NAME
    lock: ParsedLock | None = None

    def where(self, *path: str | int) -> str:
        """`headrace.yaml:23 (features.hour)`: the place of a part, for people and editors."""
        if self.lock is not None and path[:1] == ("features",) and path[:2] not in self.lines:
            return place(self.lock.name, self.lock.lines, path)
        return place(self.name, self.lines, path)

    def locked(self, lock: ParsedLock) -> ParsedSpec:
        """The same with the lock's definitions in place of the proposals that it asks for."""
        return replace(self, spec=self.spec.with_lock(lock.lock.features), lock=lock)


def place(name: str, lines: Mapping[Path, int], path: Path) -> str:
    """The nearest known line of `path`, with the dotted path behind it."""
    dotted = ".".join(str(p) for p in path)
    for cut in range(len(path), -1, -1):
        if path[:cut] in lines:
            return f"{name}:{lines[path[:cut]]}" + (f" ({dotted})" if dotted else "")
    return f"{name} ({dotted})" if dotted else name


def parse_spec(text: str, *, name: str = FILE_NAME) -> ParsedSpec:
    """Read a spec from YAML text. `name` is how messages call the file.

    Raises:
        SpecError: with one problem for every mistake that the text alone shows.
    """
    spec, lines = _read(text, Spec, name, "start with `headrace init DIR`, which writes a spec to begin from")
    return ParsedSpec(spec, lines, name)


def parse_lock(text: str, *, name: str = LOCK_NAME) -> ParsedLock:
    """Read the lock of proposed features from YAML text. `name` is how messages call the file.

    Raises:
        SpecError: with one problem for every mistake that the text alone shows.
    """
    lock, lines = _read(text, Lock, name, "make it again: headrace features propose --again")
    return ParsedLock(lock, text, lines, name)


def _read(text: str, model: type[M], name: str, start: str) -> tuple[M, dict[Path, int]]:
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{name}:{mark.line + 1}" if mark else name
        raise SpecError(
            f"not valid YAML: {error.problem or error}",
            where=line,
            fix="check indentation (spaces, no tabs), quotes and colons on this line and the one before",
        ) from None
    except yaml.YAMLError as error:
        raise SpecError(
            f"not valid YAML: {error}", where=name, fix="save the file as plain UTF-8 text"
        ) from None
    if not isinstance(root, yaml.MappingNode):
        raise SpecError(
            "the file is empty" if root is None else "the file is no mapping of keys to values",
            where=name,
            fix=start,
        )
    lines: dict[Path, int] = {}
    problems: list[Problem] = []
    data = _construct(root, (), lines, problems, name)
    try:
        read = model.model_validate(data)
    except ValidationError as error:
        problems += [_problem(e, data, lines, name, model) for e in error.errors(include_url=False)]
        raise SpecError.of(problems) from None
    if problems:
        raise SpecError.of(problems)
    return read, lines


def _construct(
    node: yaml.Node, path: Path, lines: dict[Path, int], problems: list[Problem], name: str
) -> Any:
    """Plain values from YAML nodes; notes the line of every path and refuses keys given twice."""
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        values: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                problems.append(
                    Problem(
                        f"key {key!r} is given twice",
                        where=f"{name}:{key_node.start_mark.line + 1} ({'.'.join(map(str, here))})",
                        fix=f"keep one; the first is on line {lines[here]}",
                    )
                )
                continue
            values[key] = _construct(value_node, here, lines, problems, name)
            lines[here] = key_node.start_mark.line + 1
        return values
    if isinstance(node, yaml.SequenceNode):
        # Tuples, because the models are strict and frozen.
        return tuple(_construct(n, (*path, i), lines, problems, name) for i, n in enumerate(node.value))
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError):
        return node.value


_EXPECTED = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "date_type": "a date such as 2026-11-21",
}


_LIMITS = {
    "greater_than_equal": "of at least",
    "greater_than": "above",
    "less_than_equal": "of at most",
    "less_than": "below",
}


def _problem(
    error: ErrorDetails, data: Any, lines: Mapping[Path, int], name: str, root: type[BaseModel]
) -> Problem:
    path = _real_path(error["loc"], data)
    kind, given = error["type"], error["input"]
    dotted = ".".join(str(p) for p in path)
    where = place(name, lines, path)
    if kind == "missing":
        return Problem(
            f"{dotted!r} is missing",
            where=where,
            fix=f"add `{path[-1]}:` — {_describe(path, data, root) or 'it is required'}",
        )
    if kind == "extra_forbidden":
        return Problem(
            f"unknown key {str(path[-1])!r}",
            where=where,
            fix=did_you_mean(str(path[-1]), _fields_at(path[:-1], data, root)),
        )
    if kind in _EXPECTED:
        return Problem(
            f"{dotted!r} must be {_EXPECTED[kind]}, not {_show(given)}",
            where=where,
            fix=_quote_hint(kind, given),
        )
    if kind == "literal_error":
        expected = str(error.get("ctx", {}).get("expected", ""))
        options = [o.strip("' ") for o in expected.replace(" or ", ", ").split(",")]
        return Problem(
            f"{dotted!r} can't be {_show(given)}", where=where, fix=did_you_mean(str(given), options)
        )
    bounds = error.get("ctx", {})
    if kind == "too_short":
        return Problem(f"{dotted!r} needs at least one entry", where=where, fix=_describe(path, data, root))
    if kind in _LIMITS:
        bound = next(iter(bounds.values()), "")
        return Problem(
            f"{dotted!r} is {_show(given)}", where=where, fix=f"write a number {_LIMITS[kind]} {bound}"
        )
    message = error["msg"].removeprefix("Value error, ")
    what, _, fix = message.partition("; ")
    return Problem(f"{dotted!r}: {what}", where=where, fix=fix)


def _real_path(loc: Sequence[str | int], data: Any) -> Path:
    """Pydantic's location without the names of union branches, which are no part of the file."""
    path: list[str | int] = []
    here = data
    for i, part in enumerate(loc):
        if isinstance(here, Mapping) and (part in here or i == len(loc) - 1):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int):
            path.append(part)
            here = here[part] if part < len(here) else None
    return tuple(path)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in _models_in(a)]


def _model_at(path: Path, data: Any, root: type[BaseModel]) -> type[BaseModel] | None:
    """The model of what is written at `path`. Of a union the one that knows most of the keys there."""
    models: list[type[BaseModel]] = [root]
    here = data
    for i, part in enumerate(path):
        model = _likest(models, here)
        if model is None:
            return None
        if isinstance(part, str) and part in model.model_fields:
            models = _models_in(model.model_fields[part].annotation)
        elif root is Spec and path[: i + 1] == ("features", AUTO):
            models = [Auto]
        # A key of a dict of models, or an index of a list of them: the models stay.
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, tuple) and isinstance(part, int):
            here = here[part] if part < len(here) else None
    return _likest(models, here)


def _likest(models: Sequence[type[BaseModel]], value: Any) -> type[BaseModel] | None:
    keys = set(value) if isinstance(value, Mapping) else set()
    return max(models, key=lambda m: len(keys & set(m.model_fields)), default=None)


def _fields_at(path: Path, data: Any, root: type[BaseModel]) -> list[str]:
    model = _model_at(path, data, root)
    return list(model.model_fields) if model else []


def _describe(path: Path, data: Any, root: type[BaseModel]) -> str:
    model = _model_at(path[:-1], data, root)
    entry = model.model_fields.get(str(path[-1])) if model else None
    return (entry.description or "").split("\n")[0] if entry else ""


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, tuple | list):
        return "a list"
    return "nothing" if value is None else repr(value)


def _quote_hint(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, int | float):
        return f"put it in quotes: '{given}'"
    if kind in ("float_type", "int_type") and isinstance(given, str):
        return "write a number without quotes or units"
    if kind == "date_type" and isinstance(given, str):
        return "write year, month and day without quotes: 2026-11-21"
    if kind == "tuple_type":
        return "write a list: [a, b], or one `- item` a line"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return "write keys under it, one `key: value` a line, or {key: value}"
    return ""
