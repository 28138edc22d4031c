"""Runs: found by an expression, sorted by any of their fields, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.errors import ExprError, UserError
from headrace.engine.tracking.lines import RunLine
from headrace.web.page import MOST, Asked, Page

PER_PAGE = 50
_STATUS = ("released", "awaiting approval", "blocked", "no-go", "failed", "stopped", "unfinished", "done")


@dataclass(frozen=True)
class Runs:
    """The page. where: the whole expression; wrong: what is wrong with it. every: all runs there are; total:
    those that were found. fields: what runs can be found and sorted by."""

    where: str
    status: str
    wrong: str
    lines: tuple[RunLine, ...]
    total: int
    every: int
    page: int
    pages: int
    sort: str
    down: bool
    fields: Mapping[str, str]
    statuses: tuple[str, ...] = _STATUS


def model(asked: Asked) -> Runs:
    """A page of the runs that are looked for."""
    index = asked.project.run_index
    where = asked.query.get("where", "")[: 5 * MOST].strip()
    status = asked.choice("status", _STATUS, "")
    fields = {name: kind.value for name, kind in index.names().items()}
    sort = asked.choice("sort", fields, "started")
    down = asked.query.get("down", "1" if "sort" not in asked.query else "") == "1"
    page, wrong = asked.whole("page", 1, least=1), ""
    both = " and ".join(f"({p})" for p in (where, f"status = '{status}'" if status else "") if p)
    try:
        found = index.find(both, sort=sort, down=down, start=(page - 1) * PER_PAGE, most=PER_PAGE)
    except (UserError, ExprError) as error:
        wrong = "; ".join(f"{p.what}{f' – {p.fix}' if p.fix else ''}" for p in error.problems)
        found = index.find("run = ''", most=1)
    pages = max(1, -(-found.total // PER_PAGE))
    return Runs(
        where,
        status,
        wrong,
        found.lines,
        found.total,
        found.every,
        min(page, pages),
        pages,
        sort,
        down,
        fields,
    )


PAGE = Page(
    "runs",
    "runs",
    "Runs",
    "every run: searched by an expression, filtered, sorted, compared",
    model,
    "runs.html",
)
