"""Who hears of which alert or job when; and handing messages over until they are taken.

Which messages are due follows from alerts and jobs alone; the outbox remembers which were queued and sent. A
process that dies in between queues the same messages again, under the same ids.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from headrace.core.clock import Clock, from_micros, iso, iso_micros, micros
from headrace.core.codec import from_json, to_json
from headrace.core.errors import HeadraceError
from headrace.core.jobs import Job
from headrace.core.ports import Sink
from headrace.core.watching import AlertState, AlertView, Message, Told
from headrace.stores.outbox import Outbox, Posted

_LOG = logging.getLogger("headrace.watch")

FIRST_US, LONGEST_US = 5_000_000, 3_600_000_000
"""What was not taken is tried again after this long, then after twice as long, and so on, to the longest."""
_RECENT_US = 86_400_000_000


@dataclass(frozen=True)
class Receiver:
    """Who hears of alerts and jobs. name: unique, and no secret. make: the sink; it may raise where a setting
    is missing. high: of alerts only those that harm. after_us: only of alerts that nobody acknowledged, and
    jobs that nobody answered, for so long."""

    name: str
    make: Callable[[], Sink]
    high: bool = False
    after_us: int | None = None


@dataclass(frozen=True)
class Delivered:
    """What a round of sending came to: messages taken; receivers that did not take theirs, and why."""

    sent: int
    trouble: Mapping[str, str]


def queue(
    outbox: Outbox,
    alerts: Iterable[AlertView],
    receivers: Sequence[Receiver],
    *,
    jobs: Iterable[Job] = (),
    project: str,
    cool_down_us: int,
    now: datetime,
) -> int:
    """Put into the outbox what has become due by now; how many messages were new.

    Raises:
        StoreError: the outbox can't be written.
    """
    known = outbox.known()
    new: list[tuple[str, str, bytes]] = []
    for alert in alerts:
        for receiver in receivers:
            if receiver.high and not alert.harms:
                continue
            for told, name in _due(alert, receiver, known, cool_down_us, now):
                message = Message(name, alert.changed, told, project, alert)
                new.append((name, receiver.name, to_json(message)))
    for job in jobs:
        for receiver in receivers:
            why = _due_of_job(job, receiver, now)
            if why is None:
                continue
            name = f"{job.job}-{why.value}-{iso_micros(_moment(job))}"
            if (name, receiver.name) not in known:
                message = Message(name, _moment(job), why, project, job=job)
                new.append((name, receiver.name, to_json(message)))
    return outbox.put(new, micros(now))


def deliver(outbox: Outbox, receivers: Sequence[Receiver], clock: Clock) -> Delivered:
    """Hand over what is due. A receiver that fails once is left alone until its next turn, so that one that
    hangs keeps nobody else waiting for longer than one attempt; whatever it raises is its own trouble.

    Raises:
        StoreError: the outbox can't be read or written.
    """
    known = {r.name: r for r in receivers}
    trouble: dict[str, str] = {}
    sent = 0
    for posted in outbox.due(micros(clock())):
        name = posted.receiver
        if name not in trouble:
            try:
                if name not in known:
                    trouble[name] = "the spec names this receiver no more"
                else:
                    known[name].make().send(from_json(posted.body, Message))
            except HeadraceError as error:
                trouble[name] = error.problems[0].what + (
                    f": {error.problems[0].why}" if error.problems[0].why else ""
                )
            except Exception as error:  # noqa: BLE001  whatever one receiver's sink does, the others are told
                _LOG.exception("the message %s can't be handed to %s", posted.id, name)
                trouble[name] = type(error).__name__  # its words may hold a secret
        now = micros(clock())
        if name in trouble:
            outbox.mark(_later(posted, trouble[name], now))
        else:
            outbox.mark(replace(posted, sent=now, tries=posted.tries + 1, trouble=""))
            sent += 1
    return Delivered(sent, trouble)


def _due(
    alert: AlertView, receiver: Receiver, known: Set[tuple[str, str]], cool_down_us: int, now: datetime
) -> list[tuple[Told, str]]:
    """What of an alert a receiver is to hear that is not among the messages that are known, and their ids."""
    opened, changed = iso_micros(alert.opened), iso_micros(alert.changed)
    is_open, resolved = alert.state is AlertState.OPEN, alert.state is AlertState.RESOLVED
    first = Told.OPENED if receiver.after_us is None else Told.ESCALATED
    heard = (_name(alert, first), receiver.name) in known
    if not heard:
        if receiver.after_us is None:
            # What came and went between two looks is told all the same; older history is not.
            fresh = not resolved or micros(now) - changed < _RECENT_US
        else:
            fresh = is_open and micros(now) - opened >= receiver.after_us
        if not fresh:
            return []
    due = [(first, _name(alert, first))]
    began, mark = opened, ""
    if _was_over(alert, receiver, known):
        # The last word was that it is over: that it goes on comes first, then all else begins anew.
        began = iso_micros(alert.reopened)
        mark = f"-{began}"
        again = _name(alert, Told.GOES_ON) + mark
        if (again, receiver.name) not in known:
            return (
                [(Told.GOES_ON, again)] if is_open and micros(now) - began >= (receiver.after_us or 0) else []
            )
    reminder = (changed - began) // cool_down_us if is_open and cool_down_us else 0
    if reminder and heard:
        due.append((Told.GOES_ON, _name(alert, Told.GOES_ON, reminder) + mark))
    if resolved:
        due.append((Told.RESOLVED, _name(alert, Told.RESOLVED, alert.windows) + mark))
    return [(told, name) for told, name in due if (name, receiver.name) not in known]


def _was_over(alert: AlertView, receiver: Receiver, known: Set[tuple[str, str]]) -> bool:
    """Whether a receiver was told that an alert is over before it was seen again."""
    if not alert.reopened:
        return False
    names = (_name(alert, Told.RESOLVED, n) for n in range(1, alert.windows + 1))
    return any((name, receiver.name) in known for name in names)


def _due_of_job(job: Job, receiver: Receiver, now: datetime) -> Told | None:
    """Why a receiver is to hear of a job that asks, was blocked or failed; None: it is not, or not yet. What
    asks is told however old it is; what has ended is history after a day."""
    if not job.tells:
        return None
    age = micros(now) - iso_micros(_moment(job))
    asks = job.status == Told.ASKED
    if receiver.after_us is not None:
        return Told.ESCALATED if asks and age >= receiver.after_us else None
    return Told(job.status) if asks or age < _RECENT_US else None


def _moment(job: Job) -> str:
    """Since when a job is as it is (ISO)."""
    return job.finished or job.queued


def _name(alert: AlertView, told: Told, number: int = 0) -> str:
    """The id of a message; the number tells reminders apart."""
    return f"{alert.alert}-{told.value.replace(' ', '-')}" + (f"-{number}" if number else "")


def _later(posted: Posted, trouble: str, now: int) -> Posted:
    wait = min(FIRST_US << min(posted.tries, 20), LONGEST_US)
    # Spread by a quarter, the same way every time, so that many messages don't come back at once.
    spread = zlib.crc32(f"{posted.id}{posted.receiver}{posted.tries}".encode()) / 2**32
    due = now + round(wait * (0.75 + 0.5 * spread))
    return replace(posted, due=due, tries=posted.tries + 1, trouble=trouble)


def described(outbox: Outbox) -> list[dict[str, object]]:
    """The messages, newest last, for people and scripts."""
    return [
        {
            "message": p.id,
            "receiver": p.receiver,
            "queued": iso(from_micros(p.queued)),
            "sent": "" if p.sent is None else iso(from_micros(p.sent)),
            "tries": p.tries,
            "next": "" if p.sent is not None else iso(from_micros(p.due)),
            "trouble": p.trouble,
        }
        for p in outbox.all()
    ]
