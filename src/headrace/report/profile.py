"""The page of a profile."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.core.schema import Type
from headrace.data.profile.blind import Part
from headrace.data.profile.notes import share
from headrace.data.profile.record import LEVELS, ColumnProfile, Coverage, Profile, TableProfile
from headrace.data.profile.values import End, moment
from headrace.report.figures.data import SHOWN, correlation_matrix, time_coverage
from headrace.report.figures.embed import embed
from headrace.report.figures.small import histogram_svg, meter
from headrace.report.page import Section, number, page, table, text

_LOOK = {"train": "training rows", "all": "rows, all of them"}
_PAIRS = 15


def profile_page(
    profile: Profile, *, title: str, subtitle: str = "", descriptions: Mapping[str, str] | None = None
) -> str:
    """The whole page as HTML. `descriptions` say what a column means, by `column` or `table.column`."""
    known = descriptions or {}
    first = profile.tables[0] if profile.tables else None
    sections = [s for t in profile.tables for s in table_sections(t, known)]
    facts = [(t.table, f"{t.rows:,} × {len(t.columns)}") for t in profile.tables] if first else []
    return page(title, sections, subtitle=subtitle, facts=facts)


def table_sections(profile: TableProfile, descriptions: Mapping[str, str]) -> list[Section]:
    """A table's sections: what to look at with its columns, then what is between them."""
    name = profile.table
    body = _notes(profile) + _cards(profile, descriptions)
    found = [Section(_id(name), name, body, _lead(profile))] if profile.columns else []
    if profile.coverage:
        found.append(Section(_id(name, "time"), f"{name}: time", "".join(_time(c) for c in profile.coverage)))
    if profile.correlations is not None:
        found.append(_correlations(profile))
    if profile.parts:
        lead = "Seen from outside: no row and nothing of the target is read."
        parts = "".join(_part(p) for p in profile.parts)
        found.append(Section(_id(name, "parts"), f"{name}: the other rows", parts, lead))
    return found


def _id(*parts: str) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in p) for p in parts)


def _lead(profile: TableProfile) -> str:
    told = [f"{profile.rows:,} {_LOOK.get(profile.whose, profile.whose)}, {len(profile.columns)} columns."]
    copies = profile.duplicates
    if copies is not None:
        but = f" in everything but {', '.join(copies.but)}" if copies.but else ""
        about = "" if copies.share == 1 else f" (estimated from {copies.share:.1%} of them)"
        told.append(
            f"{copies.rows:,} rows ({share(copies.rows, profile.rows)}) repeat an earlier one{but}{about}."
        )
    if profile.skipped:
        left = ", ".join(f"{n} ({t})" for n, t in profile.skipped)
        told.append(f"Left out, of a type without a place here: {left}.")
    return " ".join(told)


def _notes(profile: TableProfile) -> str:
    items = [
        f"<li class=note><a href='#{_id(profile.table, c.name)}'>{text(c.name)}</a>: {text(n.text)}</li>"
        for c in profile.columns
        for n in c.notes
    ]
    if not items:
        return ""
    head = f"<h3>To look at ({len(items)})</h3>"
    if len(items) > 12:
        rest = f"<ul class=notes>{''.join(items[12:])}</ul>"
        rest = f"<details><summary>{len(items) - 12} more</summary>{rest}</details>"
        return f"{head}<ul class=notes>{''.join(items[:12])}</ul>{rest}"
    return f"{head}<ul class=notes>{''.join(items)}</ul>"


def _cards(profile: TableProfile, descriptions: Mapping[str, str]) -> str:
    cards = []
    for c in profile.columns:
        meaning = descriptions.get(f"{profile.table}.{c.name}") or descriptions.get(c.name, "")
        source = f" · {c.source_type}" if c.source_type and c.source_type != c.type else ""
        cards.append(
            f'<article class=card id="{_id(profile.table, c.name)}"><h4>{text(c.name)} '
            f"<small>{text(c.type + source)}</small></h4>"
            f"{f'<p>{text(meaning)}</p>' if meaning else ''}{_counts(c)}{_shape(c)}"
            f"{''.join(f'<p class=note>{text(n.text)}</p>' for n in c.notes)}</article>"
        )
    return f"<h3>Columns</h3><div class=cards>{''.join(cards)}</div>"


def _counts(c: ColumnProfile) -> str:
    about = "about " if c.distinct_error else ""
    told = [
        f"{share(c.missing, c.rows)} missing" if c.missing else "none missing",
        f"{about}{c.distinct:,} distinct",
    ]
    if c.target is not None and c.target.value is not None:
        how = "r" if c.target.measure == "pearson" else "correlation ratio"
        told.append(f"{how} with the target {c.target.value:.2f}")
    return f"<p>{text(' · '.join(told))}</p>"


def _shape(c: ColumnProfile) -> str:
    """The picture that suits the column: bars of numbers, most frequent values of the rest."""
    if c.histogram is None:
        return _top(c) + _texts(c)
    h = c.histogram
    low, high = _edge(h.edges[0], c, c.low, h.below), _edge(h.edges[-1], c, c.high, h.above)
    drawn = histogram_svg(h.edges, h.counts, low=low, high=high, label=f"histogram of {c.name}")
    out = ""
    if h.below or h.above:
        ends = f"from {_end(c.low)} to {_end(c.high)}"
        out = f"<p>{h.below:,} rows below and {h.above:,} above, {text(ends)}</p>"
    return drawn + out + _quantiles(c) + _frequent(c)


def _edge(edge: float, c: ColumnProfile, end: End, beyond: int) -> str:
    if not beyond:
        return _end(end)
    return moment(edge) if c.type is Type.TIME else number(edge)


def _end(value: End) -> str:
    return value if isinstance(value, str) else number(value)


def _quantiles(c: ColumnProfile) -> str:
    if c.type is Type.TIME or not c.quantiles:
        return ""
    at = dict(zip(LEVELS, c.quantiles, strict=True))
    told = f"quartiles {number(at[0.25])}, {number(at[0.5])}, {number(at[0.75])}"
    return f"<p>{text(told)} · mean {text(number(c.mean))}, deviation {text(number(c.std))}</p>"


def _frequent(c: ColumnProfile) -> str:
    """A value that many rows share, which a histogram hides."""
    most = [t for t in c.top[:3] if t.rows > 0.01 * (c.rows - c.missing)]
    if not most or c.distinct <= 2:
        return ""
    told = ", ".join(f"{_value(t.value)} ({share(t.rows, c.rows - c.missing)})" for t in most)
    return f"<p>most frequent: {text(told)}</p>"


def _top(c: ColumnProfile) -> str:
    if not c.top:
        return ""
    known = c.rows - c.missing
    rows = [
        f"<tr><td>{text(_value(t.value))}{meter(t.rows / c.top[0].rows)}</td>"
        f"<td class=n>{t.rows:,}</td><td class=n>{share(t.rows, known)}</td></tr>"
        for t in c.top[:6]
    ]
    off = f"<p>counts may be up to {c.top_error:,} rows too small</p>" if c.top_error else ""
    return f"<table>{''.join(rows)}</table>{off}"


def _value(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if len(value) <= 60 and value.strip() == value and value else repr(value[:60])
    return number(value)


def _texts(c: ColumnProfile) -> str:
    if c.texts is None:
        return ""
    t = c.texts
    if t.shortest == t.longest:
        return f"<p>{t.shortest} characters each</p>"
    return f"<p>{t.shortest} to {t.longest} characters, {t.mean_length:.1f} on average</p>"


def _time(c: Coverage) -> str:
    gaps = f"{c.gap_count} gap{'s' if c.gap_count != 1 else ''}" if c.gap_count else "no gap"
    usual = "day" if c.step == 1 else f"{c.step} days"
    span = "day" if c.width == 1 else f"{c.width} days"
    told = f"Rows by {span} ({c.zone}). They come every {usual}; {gaps} of more than three times that."
    drawn = embed(time_coverage(c), label=f"rows over {c.column}", height=240)
    listed = table(
        ["first day without rows", "last", "days"],
        [[g.first, g.last, f"{g.days:,}"] for g in c.gaps],
        numbers=[2],
    )
    return f"<h3>{text(c.column)}</h3><p class=lead>{text(told)}</p>{drawn}{listed if c.gaps else ''}"


def _correlations(profile: TableProfile) -> Section:
    found = profile.correlations
    if found is None:
        raise ValueError("the table has no correlations")
    pairs = [
        (abs(r), found.columns[i], found.columns[j], r)
        for i, row in enumerate(found.r)
        for j, r in enumerate(row[:i])
        if r is not None
    ]
    strongest = sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[:_PAIRS]
    size = min(SHOWN, len(found.columns))
    drawn = embed(correlation_matrix(found), label="correlations of number columns", height=200 + 20 * size)
    listed = table(
        ["strongest pairs", "", "r"], [[a, b, f"{r:.3f}"] for _, a, b, r in strongest], numbers=[2]
    )
    every = "" if found.every == 1 else f", from one row in {found.every}"
    shown = "" if size == len(found.columns) else f" The {size} columns with the strongest pairs are drawn."
    lead = f"Pearson's r over the rows where both are known{every}.{shown}"
    return Section(_id(profile.table, "together"), f"{profile.table}: together", drawn + listed, lead)


def _part(part: Part) -> str:
    rows = [
        [c.name, c.type, share(c.missing, part.rows) if part.rows else "–", _end(c.low), _end(c.high)]
        for c in part.columns
    ]
    left = (
        f"<p>Not opened, the target is made of it: {text(', '.join(part.left_out))}</p>"
        if part.left_out
        else ""
    )
    head = f"<h3>{text(part.name)}: {part.rows:,} rows</h3>"
    return head + left + table(["column", "type", "missing", "from", "to"], rows, numbers=[2, 3, 4])
