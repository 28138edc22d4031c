"""One hierarchy of errors. Each says *what* is wrong, *why* it matters, and how to *fix* it.

An error may carry several problems: whoever checks input collects all of them before raising once.
The exit code of the command line is a property of the error's class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake: what is wrong, where (file:line, column or field), why, and how to mend it."""

    what: str
    where: str = ""
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        lines = [head]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class HeadraceError(Exception):
    """Base of every error that headrace raises on purpose. Exit code 1 unless a subclass says otherwise."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", fix: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(what=what, where=where, why=why, fix=fix),)
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> HeadraceError:
        """One error that carries every problem of `problems` (at least one)."""
        if not problems:
            raise ValueError("an error needs at least one problem")
        first = problems[0]
        error = cls(first.what, where=first.where, why=first.why, fix=first.fix)
        error.problems = tuple(problems)
        error.args = ("\n".join(str(p) for p in problems),)
        return error


class UserError(HeadraceError):
    """The user's mistake: bad spec, bad data, bad arguments. Nothing stored is changed."""

    exit_code = 2


class SpecError(UserError):
    """The spec (`headrace.yaml`) can't be used as it stands."""


class ExprError(UserError):
    """An expression can't be parsed, typed or compiled."""


class DataError(UserError):
    """A file, table or row can't be used as it stands."""


class UserCodeError(UserError):
    """The user's own Python code raised; the original exception is `__cause__`."""


class MissingDependency(UserError):
    """An optional library, or a system library it needs, is not installed."""


class NotFound(UserError):
    """A run, release or artifact of that name does not exist."""


class GateBlocked(HeadraceError):
    """A gate failed or is unknown, and no waiver covers it."""

    exit_code = 3


class AwaitingApproval(HeadraceError):
    """Everything passed; somebody else has to approve."""

    exit_code = 4


class StoreError(HeadraceError):
    """The store can't do what was asked (full disk, unwritable folder, locked for too long)."""


class Undelivered(HeadraceError):
    """A receiver of alerts did not take a message. It is kept, and sent again."""


class NoAnswer(HeadraceError):
    """Neither a release nor a fallback could answer; each problem says why one could not."""


class Conflict(StoreError):
    """`append(expect=...)` lost a race: the ledger's head moved. Refold and retry."""


class Corrupt(StoreError):
    """The ledger's chain or an artifact's bytes are not what was written."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A hint that names the closest options, or lists them all where none is close.

    >>> did_you_mean("dep_tme", ["dep_time", "arr_time", "origin"])
    "did you mean 'dep_time'?"
    """
    choices = sorted(set(options))
    close = difflib.get_close_matches(name, choices, n=2, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    if not choices:
        return ""
    shown = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    return f"choose from: {shown}"
