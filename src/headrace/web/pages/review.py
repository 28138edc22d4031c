"""Review: the queue, one item at a time, by hand or by keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headrace.core.clock import micros
from headrace.core.errors import DataError, UserError
from headrace.core.review import Label, Reviewed, State
from headrace.core.tokens import Role
from headrace.serve.reviewing import shown
from headrace.web.page import Asked, Done, Page, Verb, named

_LISTED = 100


@dataclass(frozen=True)
class Choice:
    """What may be decided, and the key that does so."""

    at: int
    key: str
    label: str
    predicted: bool


@dataclass(frozen=True)
class Review:
    """The page. item: as reviewers see it (`serve.reviewing.shown`); None where nothing is open. choices:
    empty where a number is wanted. before, after: ids of the items beside it."""

    who: str
    item: Mapping[str, Any] | None
    choices: tuple[Choice, ...]
    before: str
    after: str
    waiting: tuple[Mapping[str, Any], ...]
    open: int
    taken: int
    decided: int
    expired: int
    mine: int


def model(asked: Asked) -> Review:
    """The item that is named, or the one that is due first of those that wait for whoever asks."""
    who = _who(asked)
    reviews = asked.project.reviews()
    now = _now(asked)
    counts = reviews.counts(now=now, source=None)
    mine = [r for r in _open(asked) if not any(s.reviewer == who and s.decision is not None for s in r.said)]
    names = [r.item.id for r in mine]
    name = asked.text("item")
    found = reviews.get(name) if name else None
    if found is None:
        found = mine[0] if mine else None
    at = names.index(found.item.id) if found is not None and found.item.id in names else -1
    return Review(
        who=who,
        item=None if found is None else shown(found, who),
        choices=_choices(found),
        before=names[at - 1] if at > 0 else "",
        after=names[at + 1] if 0 <= at < len(names) - 1 else "",
        waiting=tuple(shown(r, who) for r in mine[:_LISTED]),
        open=counts.open,
        taken=counts.taken,
        decided=counts.decided,
        expired=counts.expired,
        mine=counts.reviewers.get(who, 0),
    )


def _who(asked: Asked) -> str:
    return asked.who.name or asked.project.actor


def _now(asked: Asked) -> int:
    return micros(asked.now)


def _open(asked: Asked) -> list[Reviewed]:
    """What is open, due first first."""
    now = _now(asked)
    found = [r for _, r in asked.project.reviews().items(state=State.OPEN, limit=5 * _LISTED)]
    known = [r for r in found if not r.item.deadline or r.item.deadline > now]
    return sorted(known, key=lambda r: (r.item.deadline or 1 << 62, r.item.asked))


def _choices(found: Reviewed | None) -> tuple[Choice, ...]:
    if found is None:
        return ()
    said = found.item.answer.get("prediction")
    return tuple(
        Choice(i, str(i + 1) if i < 9 else "", str(c), c == said) for i, c in enumerate(found.item.choices)
    )


def decide(asked: Asked, form: Mapping[str, str]) -> Done:
    """Write a decision down, and go to the next item."""
    name = named(form, "id", "the item")
    found = asked.project.reviews().get(name)
    if found is None:
        raise DataError(f"there is no item {name!r}", fix="load the page again")
    decision = _decision(found, form)
    after = _next(asked, name)
    asked.project.review_decide(name, decision, by=_who(asked), comment=form.get("comment", ""))
    return Done(f"Decided: {decision}.", _to(after))


def _decision(found: Reviewed, form: Mapping[str, str]) -> Label:
    at = form.get("choice", "")
    if found.item.choices:
        if not (at.isascii() and at.isdigit() and int(at) < len(found.item.choices)):
            raise UserError("nothing was chosen", fix="choose one of the item's classes")
        return found.item.choices[int(at)]
    try:
        return float(form.get("value", "").replace(",", ""))
    except ValueError:
        raise UserError(f"{form.get('value', '')!r} is no number", fix="write one such as 42.5") from None


def skip(asked: Asked, form: Mapping[str, str]) -> Done:
    """Leave an item to others, and go to the next."""
    name = named(form, "id", "the item")
    after = _next(asked, name)
    found = asked.project.reviews().get(name)
    who = _who(asked)
    if found is not None and any(s.reviewer == who and s.decision is None for s in found.said):
        asked.project.reviews().give_back(name, who, now=_now(asked))
    return Done("Skipped.", _to(after))


def _next(asked: Asked, name: str) -> str:
    """The item behind this one; the first where it is the last."""
    who = _who(asked)
    names = [
        r.item.id
        for r in _open(asked)
        if r.item.id == name or not any(s.reviewer == who and s.decision is not None for s in r.said)
    ]
    at = names.index(name) + 1 if name in names else 0
    left = [*names[at:], *(n for n in names[: max(0, at - 1)])]
    return left[0] if left else ""


def _to(name: str) -> str:
    return f"review?item={quote(name, safe='')}" if name else "review"


PAGE = Page(
    "review",
    "review",
    "Review",
    "what people are to look at: number keys decide, j and k move, s skips",
    model,
    "review.html",
    role=Role.REVIEWER,
    verbs={"decide": Verb(Role.REVIEWER, decide), "skip": Verb(Role.REVIEWER, skip)},
)
