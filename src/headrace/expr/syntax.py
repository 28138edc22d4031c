"""Text to sqlglot's syntax tree, with errors in plain words. sqlglot is used for its grammar alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.duckdb import DuckDBParser

from headrace.core.errors import Problem

LONGEST = 20_000


class ExpressionGrammar(DuckDB):
    """DuckDB's grammar with every function left as it was written: which functions exist, and what they
    mean, is our own table's business, not a transpiler's."""

    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., exp.Expr | None]]] = {
            name: parser
            for name, parser in DuckDBParser.FUNCTION_PARSERS.items()
            if name in ("CAST", "TRY_CAST", "EXTRACT")
        }


def read_syntax(text: str, where: str) -> exp.Expr | Problem:
    """The syntax tree of one expression, or what is wrong with the text."""
    if not text.strip():
        return Problem("the expression is empty", where, fix="write one, such as a + b or hour(time)")
    if "\x00" in text or len(text) > LONGEST:
        what = "the expression holds a NUL character" if "\x00" in text else "the expression is too long"
        return Problem(what, where, fix=f"keep it to {LONGEST:,} printable characters")
    grammar = ExpressionGrammar()
    try:
        trees = grammar.parse_into(exp.Condition, text)
    except ParseError as error:
        return _unreadable(error, text, where)
    except TokenError:
        return Problem(f"can't read `{text}`: a quote or comment is never closed", where,
                       fix="text literals are 'in single quotes', names \"in double quotes\"")  # fmt: skip
    except RecursionError:
        return too_deep(where)
    if len(trees) != 1 or trees[0] is None:
        return Problem(f"`{text}` holds more than one expression", where, fix="remove the `;`")
    return trees[0]


def too_deep(where: str) -> Problem:
    """The problem of an expression nested beyond what can be followed."""
    return Problem("the expression is nested too deeply", where, fix="split it into several features")


def spell(tree: exp.Expr) -> str:
    """A part of an expression as text, for messages."""
    text = tree.sql(dialect=ExpressionGrammar, normalize_functions=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _unreadable(error: ParseError, text: str, where: str) -> Problem:
    found = error.errors[0] if error.errors else {}
    at = str(found.get("highlight") or "").strip()
    column = found.get("col")
    if "Required keyword" in str(found.get("description")) or not at:
        what = f"can't read `{text}`: something is missing" + (f" beside `{at}`" if at else "")
    else:
        what = f"can't read `{text}`: unexpected `{at}`" + (f", ending at column {column}" if column else "")
    return Problem(what, where, fix="write one SQL expression, such as a + b, x = 'text' or hour(time)")
