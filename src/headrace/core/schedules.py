"""Schedules of batches: what is scored when, as events; and which moments are due."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from headrace.core.event import Event

SCHEDULE_KINDS = ("schedule.set", "schedule.removed", "schedule.ran")
_DUE = re.compile(r"\{due(?::([^{}]*))?\}")


@dataclass(frozen=True)
class Schedule:
    """A batch that is run again and again.

    cron: five fields, in `zone`. source, output: as `headrace predict` has them; `{due}` and `{due:%Y-%m-%d}`
    in them are the moment that a run is for. options: the other arguments of `Project.score`. every: moments
    that were missed are made up for one by one (else: the newest alone). since: when it was set, ISO. ran:
    the newest moment that was run, ISO (empty: none); batch: what came of it.
    """

    name: str
    cron: str
    zone: str
    source: str
    output: str
    since: str
    options: dict[str, Any] = field(default_factory=dict)
    every: bool = False
    ran: str = ""
    batch: str = ""

    def due(self, now: datetime) -> list[datetime]:
        """The moments that are to be run by `now`, oldest first."""
        from croniter import croniter

        since = datetime.fromisoformat(self.ran or self.since)
        if not self.every:
            newest = newest_due(self.cron, self.zone, since, now)
            return [] if newest is None else [newest]
        moments = croniter(self.cron, since.astimezone(ZoneInfo(self.zone)))
        found: list[datetime] = []
        while (moment := moments.get_next(datetime)) <= now:
            if _told_once(self.cron, moment):
                found.append(moment)
        return found

    def next(self, now: datetime) -> datetime:
        """The first moment after `now`."""
        from croniter import croniter

        moment: datetime = croniter(self.cron, now.astimezone(ZoneInfo(self.zone))).get_next(datetime)
        return moment


def _told_once(cron: str, moment: datetime) -> bool:
    """Whether a moment counts: where the clocks were set back and show a time of day again, the second does
    not, but of what comes by the hour."""
    return not moment.fold or cron.split()[1].startswith("*")


def newest_due(cron: str, zone: str, since: datetime, now: datetime) -> datetime | None:
    """The newest moment of a cron expression with `since < moment <= now`; None where there is none. Costs
    the same however long ago `since` lies."""
    from croniter import croniter

    place = ZoneInfo(zone)
    # A minute on: one that is now counts, and croniter looks for those before.
    begin = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    moments = croniter(cron, begin.astimezone(place))
    while True:
        # croniter marks every moment behind it as the second of its name: the clock says which are.
        moment = datetime.fromtimestamp(moments.get_prev(float), place)
        if moment <= since:
            return None
        if moment <= now and _told_once(cron, moment):
            return moment


def schedules(events: Iterable[Event]) -> dict[str, Schedule]:
    """Fold events of `SCHEDULE_KINDS` into schedules by name."""
    found: dict[str, Schedule] = {}
    for e in events:
        p = e.payload
        if e.kind == "schedule.set":
            found[e.subject] = Schedule(
                e.subject,
                p["cron"],
                p["zone"],
                p["source"],
                p["output"],
                e.time,
                dict(p["options"]),
                p["every"],
            )
        elif e.kind == "schedule.removed":
            found.pop(e.subject, None)
        elif e.subject in found:
            old = found[e.subject]
            found[e.subject] = replace(old, ran=p["due"], batch=p["batch"])
    return found


def filled(text: str, due: datetime) -> str:
    """A source or output with the moment in it: `{due}` is 2026-11-21T0200, and where clocks show that time
    again 2026-11-21T0200+0100."""
    plain = "%Y-%m-%dT%H%M%z" if due.fold else "%Y-%m-%dT%H%M"
    return _DUE.sub(lambda m: due.strftime(m[1] or plain), text)


def dated(text: str) -> bool:
    """Whether the moment is in it."""
    return _DUE.search(text) is not None
