"""The alerts of a project: what is open, who sees to it, who hears of it and of jobs that need somebody."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.core.clock import duration_micros, iso, micros
from headrace.core.errors import HeadraceError, NotFound, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.places import OUTBOX, STORE_DIR
from headrace.core.watching import AlertsFold, AlertState, AlertView, Family, Message, Told
from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.core.spec import Spec
    from headrace.stores.outbox import Outbox
    from headrace.watch.notify import Receiver


@dataclass(frozen=True)
class Tested:
    """A receiver that was sent a message to try it; trouble: why it did not take it (empty: it did)."""

    receiver: str
    trouble: str


class Alerting(ProjectBase):
    """What is told of live traffic, and to whom."""

    def alerts(self, *, state: str | None = None) -> list[AlertView]:
        """Every alert, oldest first; in one state alone where given."""
        found = self._follow(AlertsFold).ask(lambda fold: list(fold.known.values()))
        return [a for a in found if state is None or a.state == state]

    def alert(self, name: str) -> AlertView:
        """An alert by its id, or by its beginning where that tells it apart.

        Raises:
            NotFound: there is none, or several begin so.
        """
        known = {a.alert: a for a in self.alerts()}
        found = [a for id_, a in known.items() if id_.startswith(name)] if name else []
        if len(found) != 1:
            what = f"several alerts begin with {name!r}" if found else f"there is no alert {name!r}"
            raise NotFound(what, fix=did_you_mean(name, known) if known else "`headrace watch` makes them")
        return found[0]

    def acknowledge(self, name: str, *, reason: str = "", by: str | None = None) -> AlertView:
        """Say that somebody sees to an alert: it is not told again, nor escalated.

        Raises:
            NotFound: as `alert`.
            UserError: it is resolved.
        """
        alert = self.alert(name)
        if alert.state is AlertState.RESOLVED:
            raise UserError(f"the alert {alert.alert} is resolved", fix="there is nothing to see to")
        return self._say("alert.acknowledged", alert, reason, by)

    def resolve(self, name: str, reason: str, *, by: str | None = None) -> AlertView:
        """Say that an alert is over, and why. Should the same be seen within the cool-down, it is open again.

        Raises:
            NotFound: as `alert`.
            UserError: it is resolved already, or no reason is given.
        """
        alert = self.alert(name)
        if not reason.strip():
            raise UserError("an alert is resolved with a reason", fix="say what was done, or why it is none")
        if alert.state is AlertState.RESOLVED:
            raise UserError(f"the alert {alert.alert} is resolved already: {alert.reason}")
        return self._say("alert.resolved", alert, reason, by)

    def _say(self, kind: str, alert: AlertView, reason: str, by: str | None) -> AlertView:
        self.store.append(
            [Draft(kind, alert.alert, iso(self._clock()), by or self.actor, {"reason": reason})]
        )
        return self.alert(alert.alert)

    def outbox(self) -> Outbox:
        """Messages about alerts, on their way. Its file is made with the first."""
        from headrace.stores.outbox import Outbox

        return Outbox(self.root / STORE_DIR / OUTBOX)

    def receivers(self) -> tuple[Receiver, ...]:
        """Who hears of alerts."""
        return self._told_to(self.spec().spec)

    def tell_alerts(self) -> dict[str, str]:
        """Queue what has become due of alerts and jobs, and hand over what is; receivers that did not take
        theirs, and why.

        Raises:
            StoreError: ledger or outbox can't be read or written.
        """
        from headrace.engine.jobs import every
        from headrace.watch.notify import deliver, queue

        spec, outbox = self.spec().spec, self.outbox()
        to = self._told_to(spec)
        cool_down = duration_micros(spec.alerts.cool_down)
        queue(
            outbox,
            self.alerts(),
            to,
            jobs=every(self.store).values(),
            project=spec.project,
            cool_down_us=cool_down,
            now=self._clock(),
        )
        return dict(deliver(outbox, to, self._clock).trouble)

    def try_receivers(self) -> list[Tested]:
        """Send everybody a message that says it is a trial, at once."""
        spec, now = self.spec().spec, self._clock()
        view = AlertView(
            alert="trial",
            release="none",
            arm="none",
            title="a trial: nothing is wrong",
            family=Family.HEALTH,
            families=(Family.HEALTH.value,),
            readings=(),
            since=micros(now),
            seen=micros(now),
            opened=iso(now),
            changed=iso(now),
            by=self.actor,
        )
        message = Message(f"trial-{micros(now)}", iso(now), Told.OPENED, spec.project, view)
        found = []
        for receiver in self._told_to(spec):
            trouble = ""
            try:
                receiver.make().send(message)
            except HeadraceError as error:
                trouble = str(error.problems[0])
            found.append(Tested(receiver.name, trouble))
        return found

    def messages(self) -> list[dict[str, Any]]:
        """What was told to whom, and what waits, oldest first."""
        from headrace.watch.notify import described

        return described(self.outbox())

    def _told_to(self, spec: Spec) -> tuple[Receiver, ...]:
        from headrace.watch.receivers import receivers

        return receivers(spec.alerts, os.environ, self._clock)
