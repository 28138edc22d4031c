"""What the sections share: figures with captions, numbers with intervals, and reasons for gaps."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from headrace.core.told import RunTold
from headrace.report.figures.drawn import Drawn
from headrace.report.figures.embed import embed
from headrace.report.page import Html, number, para, span, text

if TYPE_CHECKING:
    from headrace.core.evidence import Interval

ORDER = (
    "frame", "ingest", "split", "features", "inspect", "learn", "package", "evaluate", "test", "promote",
)  # fmt: skip


def drawn(figure: Drawn, caption: str, note: str = "", *, height: int = 340) -> str:
    """A figure with what it shows (`caption`) and how to read it (`note`), in plain text."""
    small = f"<small>{escape(note)}</small>" if note else ""
    return (
        f"<figure><figcaption>{escape(caption)}{small}</figcaption>"
        f"{embed(figure, label=caption, height=height)}</figure>"
    )


def two(*parts: str) -> str:
    """Side by side where there is room; empty ones are left out."""
    kept = [p for p in parts if p]
    return f"<div class=two>{''.join(kept)}</div>" if kept else ""


def reached(told: RunTold, stage: str) -> bool:
    """Whether a stage finished in this run, and its results are kept."""
    found = told.stage(stage)
    return found is not None and found.status != "failed" and not found.lost


def why_not(told: RunTold, stage: str) -> str:
    """One line for a section whose stage has nothing to show."""
    found = told.stage(stage)
    if found is None:
        last = told.stages[-1].name if told.stages else "its first stage"
        return para(f"The run ended at {last}, before its stage {stage}.", "lead")
    if found.status == "failed":
        return para(f"The stage {stage} failed; the top of this page says why.", "lead")
    return para(f"What the stage {stage} made is no longer kept.", "lead")


def ends(interval: Interval | Mapping[str, Any] | None) -> str:
    """An interval in brackets, from a record or its plain form; empty where there is none."""
    if interval is None:
        return ""
    if isinstance(interval, Mapping):
        return span(interval.get("low"), interval.get("high"))
    return span(interval.low, interval.high)


def estimate(value: float | None, interval: Interval | Mapping[str, Any] | None, unit: str = "") -> str:
    """A number with its interval and unit."""
    return " ".join(p for p in (number(value), ends(interval), unit) if p)


def share(value: float | None) -> str:
    """A share in per cent.

    >>> share(0.1234), share(None)
    ('12.3%', '–')
    """
    return "–" if value is None else f"{100 * value:.3g}%"


def short(digest: str) -> Html:
    """The beginning of a digest; the whole where the pointer rests."""
    return Html(f'<code title="{text(digest)}">{text(digest[:12])}</code>' if digest else "–")


def code(words: str) -> Html:
    """Code in a line."""
    return Html(f"<code>{text(words)}</code>")


def held(rule: str) -> Html:
    """A rule, with the end of the interval that it is held to below it."""
    plain, _, end = rule.partition(" at the ")
    small = f"<br><small class=nw>at the {text(end)}</small>" if end else ""
    return Html(f"<code class=nw>{text(plain)}</code>{small}")


def chance(p: float | None) -> str:
    """A probability of accident, small ones as a bound."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.3g}"


def moment(stamp: str) -> str:
    """An ISO moment to the second, in UTC, for people; it stays in one line."""
    return f"{stamp[:10]}\xa0{stamp[11:19]}\xa0UTC" if len(stamp) >= 19 else stamp or "–"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, "row"), plural(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def spelled(value: Any) -> str:
    """A small value of the spec or of parameters, in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {spelled(v)}" for k, v in value.items()) or "as by default"
    if isinstance(value, list | tuple):
        return ", ".join(spelled(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else str(value)
