"""Draft a spec from a file of data and the name of the column to predict."""

from __future__ import annotations

import filecmp
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.core.errors import DataError, UserError
from headrace.core.schema import Type
from headrace.core.spec import FILE_NAME, parse_spec
from headrace.data.files import kind_of
from headrace.draft.examples import refuse_project, unwritable
from headrace.draft.expectations import draft_expectations
from headrace.draft.features import Drafted, draft_features
from headrace.draft.look import Look, Profile, look_at
from headrace.draft.names import slug, sql_name
from headrace.draft.problem import find_aim
from headrace.draft.roles import draw, find_copies, find_roles
from headrace.draft.spelling import Dialect, dialect_of
from headrace.draft.suspects import Suspect, find_suspects
from headrace.draft.write import Parts, spec_text

MOST_SLICES = 12

OWNER = "me"
"""Who answers for a drafted project until its spec says otherwise."""


@dataclass(frozen=True)
class Draft:
    """A drafted spec: its text, the suspects, and what else to know. `read` is the data file's path as
    the text has it, relative to the project's folder."""

    text: str
    suspects: tuple[Suspect, ...]
    notes: tuple[str, ...]
    read: str


def draft(file: Path, target: str, *, folder: Path, owner: str = OWNER) -> Draft:
    """Read `file` and write down a spec for predicting its column `target`. Writes nothing.

    The whole file is read for types, counts and expectations. Suspects, features and their notes come
    from the training rows of the drafted split alone; the target is looked at beyond them only to find the
    task, its classes, and whether each part holds every class.

    Raises:
        DataError: the file can't be read, or no model can learn this target (and why).
        UserError: there is no such column.
    """
    with look_at(file) as look:
        dialect = dialect_of(look) if kind_of(file.name) == "csv" else Dialect()
        if dialect == Dialect():
            return _draft(look, dialect, file, target, folder, owner)
    with look_at(file, decimal=dialect.decimal, nulls=dialect.nulls) as look:
        return _draft(look, dialect, file, target, folder, owner)


def _draft(look: Look, dialect: Dialect, file: Path, target: str, folder: Path, owner: str) -> Draft:
    everything = dict(look.profiles())
    aim = find_aim(look, everything, target)
    roles = find_roles(look, everything, target)
    if roles.key in look.personal:  # rows have other names: it needn't be kept
        roles = replace(roles, key=None)
    drawn = draw(look, aim, roles, seed=0)
    look.take(drawn.train)
    training = look.profiles("train")
    suspects = find_suspects(look, training, aim, roles, drawn.spec.group)
    features = draft_features(look, training, aim, roles, suspects)
    if not features.features:
        raise DataError(
            f"no column of {file.name} can be a feature",
            why="; ".join(f"{c}: {reason}" for c, reason in features.left_out) or "it has no other column",
            fix="bring columns that are known when the prediction is made",
        )
    out = {c for c, _ in features.left_out}
    used = {c.name for c in look.columns} - out
    expectations = draft_expectations(look, everything, used, features.numbers, roles, target)
    copies = find_copies(look, everything, roles)
    stem = slug(re.sub(r"\.(gz|zst)$", "", file.name).rpartition(".")[0] or file.stem, fallback="events")
    parts = Parts(
        project=stem.replace("_", "-"),
        table=stem,
        read=_reference(file, folder),
        rows=look.rows,
        columns=len(look.columns),
        owner=owner,
        aim=aim,
        roles=roles,
        types=look.types(),
        drawn=drawn,
        features=features,
        expectations=expectations,
        suspects=suspects,
        personal=look.personal,
        dialect=dialect,
        copies=copies,
        slices=_slices(training, features),
    )
    text = spec_text(parts)
    parse_spec(text)  # a draft that doesn't parse is our fault: fail here, not in the user's hands
    return Draft(text, suspects, (*aim.notes, drawn.reason, *drawn.notes), parts.read)


def _slices(training: Mapping[str, Profile], features: Drafted) -> tuple[str, ...]:
    """Up to three columns that features read and that make few, large groups."""
    used = {f.expression for f in features.features}
    return tuple(
        sql_name(n)
        for n, p in training.items()
        if sql_name(n) in used and p.type in (Type.TEXT, Type.BOOL) and 2 <= p.distinct <= MOST_SLICES
    )[:3]


def write_draft(file: Path, target: str, folder: Path, *, owner: str = OWNER) -> tuple[Path, ...]:
    """Draft a spec and write it as `headrace.yaml` into `folder` (made where it is missing).

    A data file inside the folder is named where it is; another is copied into `data/`. Returns what was
    written. Nothing is overwritten.

    Raises:
        UserError: the folder holds a spec, `data/` another file of this name, or it can't be written.
        DataError: as `draft`.
    """
    refuse_project(folder)
    drafted = draft(file, target, folder=folder, owner=owner)
    copy = folder / drafted.read
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (copy.exists() and copy.samefile(file)):
            _copy(file, copy)
            written.append(copy)
        spec = folder / FILE_NAME
        spec.write_text(drafted.text, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from None
    return (*written, spec)


def _reference(file: Path, folder: Path) -> str:
    inside = file.resolve().is_relative_to(folder.resolve())
    return file.resolve().relative_to(folder.resolve()).as_posix() if inside else f"data/{file.name}"


def _copy(file: Path, copy: Path) -> None:
    if copy.exists():
        if filecmp.cmp(file, copy, shallow=False):
            return
        raise UserError(
            "another file of this name is here already; nothing was overwritten",
            where=str(copy),
            fix="move it away, or name another folder",
        )
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
