"""Data: the tables' snapshots, what they hold, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.codec import from_plain
from headrace.core.errors import HeadraceError
from headrace.core.told import RunTold
from headrace.data.profile.record import Profile
from headrace.data.versions import TableDiff
from headrace.engine.data import Version
from headrace.report.profile import table_sections
from headrace.web.page import Asked, Page

PER_PAGE = 50


@dataclass(frozen=True)
class DataPage:
    """The page. table: the one that is looked at, of `tables`. versions: a page of its snapshots, the newest
    first; total: all of them. run: whose profile it is. first, second:
    snapshots that are compared, and what differs; wrong: why that can't be said."""

    tables: tuple[str, ...]
    table: str
    versions: tuple[Version, ...]
    total: int
    page: int
    pages: int
    profile: Profile | None
    run: str
    first: str
    second: str
    diffs: tuple[TableDiff, ...]
    wrong: str
    descriptions: Mapping[str, str]


def model(asked: Asked) -> DataPage:
    """The tables, one of them in full."""
    project = asked.project
    versions = project.data()
    tables = tuple(dict.fromkeys(v.table for v in versions))
    run = project.profiled()
    told = project.told(run) if run else None
    plain = told.records.get("profile") if told else None
    profile = None if plain is None else from_plain(plain, Profile)
    if profile is not None:
        first = tuple(t.table for t in profile.tables)
        tables = (*first, *(t for t in tables if t not in first))
    table = asked.choice("table", tables, tables[0] if tables else "")
    a, b = asked.text("first"), asked.text("second")
    diffs: tuple[TableDiff, ...] = ()
    wrong = ""
    if a and b:
        try:
            diffs = project.data_diff(a, b)
        except HeadraceError as error:
            wrong = "; ".join(f"{p.what}{f' ({p.why})' if p.why else ''}" for p in error.problems)
    mine = tuple(v for v in versions if v.table == table)[::-1]
    page, pages = asked.page(len(mine), PER_PAGE)
    return DataPage(
        tables,
        table,
        mine[(page - 1) * PER_PAGE : page * PER_PAGE],
        len(mine),
        page,
        pages,
        profile,
        run if profile else "",
        a,
        b,
        diffs,
        wrong,
        _descriptions(told) if told else {},
    )


def _descriptions(told: RunTold) -> Mapping[str, str]:
    described = told.spec.get("data", {}).get("columns") or {}
    return {
        name: str(said.get("description", "") if isinstance(said, Mapping) else said)
        for name, said in described.items()
    }


def dress(page: DataPage) -> Mapping[str, Any]:
    """The table's profile, as the report has it."""
    from markupsafe import Markup

    found = [t for t in page.profile.tables if t.table == page.table] if page.profile else []
    sections = [s for t in found for s in table_sections(t, page.descriptions)]
    return {"sections": [(s, Markup(s.body)) for s in sections]}


PAGE = Page(
    "data",
    "data",
    "Data",
    "snapshots of every table, what they hold, and what differs between two",
    model,
    "data.html",
    dress=dress,
    plots=True,
)
