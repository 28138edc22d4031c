"""The feature store of the design document: what is looked up, what is computed of earlier rows, by whom."""

from __future__ import annotations

from headrace.core.document import Design, ServedTable
from headrace.report.document.blocks import Block, Code, Inline, Para, Table, Words
from headrace.report.document.tell import listed


def feature_store(design: Design) -> list[Block]:
    """The blocks under its heading."""
    if design.unread:
        return [Para("Not known while tables can't be read.")]
    told = [*_lookups(design), *_histories(design), *_functions(design)]
    if design.tables or design.histories:
        return told
    return [
        Para(
            "No. Every feature is computed from the columns that the caller sends, by the same graph as in "
            "training: there is nothing to keep and look up."
        ),
        *told,
    ]


def _lookups(design: Design) -> list[Block]:
    if not design.tables:
        return []
    rows = tuple(
        (t.name, ", ".join(t.key), ", ".join(t.columns), t.known_at or t.time or "none", t.ttl or "none")
        for t in design.tables
    )
    return [
        Para(
            "No separate product. Callers send the event's own columns; the server resolves lookups by the "
            "same index that training asked, in the tables that are packaged with the release or in "
            "headrace's online store:"
        ),
        Table(("table", "key", "columns", "known by", "oldest that is used"), rows),
        *(Para(_online(t)) for t in design.tables),
    ]


_FEED: tuple[Inline, ...] = (
    Code("headrace materialize"),
    " fills it from the release, and ",
    Code("POST /events"),
    " takes facts as they come.",
)


def _online(table: ServedTable) -> Words:
    """Whether a table has to be fed while it serves."""
    if table.ttl:
        return (
            f"The online store is needed for {table.name} before live traffic: its rows count for "
            f"{table.ttl}, and the copy in a release is as old as the run that made it. ",
            *_FEED,
        )
    if table.time or table.known_at:
        return (
            f"The online store is advisable for {table.name}: its rows change with time, and the release's "
            "copy holds those of its run. ",
            *_FEED,
        )
    rests = "a new release brings newer rows"
    return f"No online store is needed for {table.name}: it is looked up without time, and {rests}."


def _histories(design: Design) -> list[Block]:
    if not design.histories:
        return []
    rows = tuple((Code(h.column), h.table, Code(h.text), h.known_by) for h in design.histories)
    tables = listed(sorted({h.table for h in design.histories}))
    return [
        Para("Histories are computed of earlier rows by one kernel, in training and for each request:"),
        Table(("history", "table", "what it is", "a row is known from"), rows),
        Para(
            (
                f"The online store is needed before live traffic: histories of {tables} end where the "
                "release's copies end. ",
                *_FEED,
            )
        ),
    ]


def _functions(design: Design) -> list[Block]:
    if not design.functions:
        return []
    return [
        Para(
            f"Computed by Python functions: {listed(design.functions)}. Their code is kept with the "
            "release and runs in the server's process; a release with them can't leave the server as a graph "
            "alone."
        )
    ]
