"""Who hears of alerts, as the spec says; secrets come from the environment when a message is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

from headrace.core.clock import Clock, duration_micros
from headrace.core.errors import UserError
from headrace.core.ports import Sink
from headrace.core.spec.watching import Alerts
from headrace.core.spec.watching import Receiver as Declared
from headrace.watch.notify import Receiver
from headrace.watch.sinks.log import LogLine
from headrace.watch.sinks.mail import SMTP, Mail, server_of
from headrace.watch.sinks.post import checked
from headrace.watch.sinks.slack import Slack
from headrace.watch.sinks.webhook import Webhook

LOG = "log"
"""The receiver that hears of everything."""


def receivers(alerts: Alerts, environ: Mapping[str, str], clock: Clock) -> tuple[Receiver, ...]:
    """The log, and those that the spec names. A setting that is missing is told when something is sent."""
    made = [Receiver(LOG, LogLine)]
    for declared in alerts.to:
        after = duration_micros(declared.after)
        made.append(
            Receiver(
                _name(declared),
                partial(_sink, declared, environ, clock),
                declared.severity == "high",
                after or None,
            )
        )
    return tuple(made)


def _name(declared: Declared) -> str:
    way = next(w for w in ("webhook", "slack", "email") if getattr(declared, w) or w == "email")
    later = f" after {declared.after}" if declared.after else ""
    return f"{way} {getattr(declared, way)}{later}"


def _sink(declared: Declared, environ: Mapping[str, str], clock: Clock) -> Sink:
    if declared.webhook:
        url = checked(environ.get(declared.webhook, ""), name=declared.webhook)
        return Webhook(url, declared.webhook, _key(declared.secret, environ), clock)
    if declared.slack:
        return Slack(checked(environ.get(declared.slack, ""), name=declared.slack), declared.slack)
    return Mail(declared.email, server_of(environ.get(SMTP, "")), clock)


def _key(name: str, environ: Mapping[str, str]) -> str:
    """The key that a variable holds; empty where none is named."""
    if not name:
        return ""
    key = environ.get(name, "")
    try:
        usable = bool(base64.b64decode(key[6:]) if key.startswith("whsec_") else key)
    except ValueError:
        usable = False
    if not usable:
        raise UserError(
            f"{name} holds no key" if key else f"{name} is not set",
            why="alerts for this receiver are kept until it does: what is not signed is not taken",
            fix=f"set the environment variable {name} to a key; behind whsec_ it is base64",
        )
    return key
