"""What is behind a feature's raw columns: what callers send and tables hold, histories, functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.core.function import Function
from headrace.core.history import History
from headrace.engine.compile import Compiled


@dataclass(frozen=True)
class Behind:
    """columns: of the events and of tables that rows are looked up in (`weather.temp`), those by which
    histories are told apart among them. histories and functions: those that fill a column in between."""

    columns: tuple[str, ...] = ()
    histories: tuple[History, ...] = ()
    functions: tuple[Function, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """The features of the spec that declare what is in between."""
        return tuple(dict.fromkeys([*(h.feature for h in self.histories), *(f.name for f in self.functions)]))


def behind_of(compiled: Compiled, columns: Sequence[str]) -> Behind:
    """Follow raw columns to where they come from."""
    functions = tuple(f for f in compiled.functions if f.column in columns)
    wide = [*columns, *(c for f in functions for c in f.reads)]
    histories = tuple(h for h in compiled.histories if h.column in wide)
    filled = {h.column for h in histories} | {f.column for f in functions}
    plain = [c for c in wide if c not in filled] + [k for h in histories for k in h.by]
    return Behind(tuple(dict.fromkeys(plain)), histories, functions)
