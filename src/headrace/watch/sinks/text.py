"""An alert in words."""

from __future__ import annotations

from typing import Any

from headrace.core.clock import from_micros
from headrace.core.watching import Message, Told


def lines(message: Message) -> list[str]:
    """What happened, since when, why; what to do next. Plain text."""
    alert = message.alert
    told = [
        f"{alert.title}",
        f"release {alert.release}, {alert.arm}; since {when(alert.since)}, last seen {when(alert.seen)}"
        f" ({alert.windows} window{'s' if alert.windows > 1 else ''})",
    ]
    if message.told is Told.RESOLVED:
        told.append(f"resolved by {alert.by}: {alert.reason}")
    told += [f"- {_of(r)}" for r in alert.readings]
    told += [f"  {line}" for line in alert.why.get("lines", ())]
    told.append(f"headrace alerts show {alert.alert}")
    if message.told is not Told.RESOLVED and alert.state == "open":
        told.append(f"headrace alerts ack {alert.alert}")
    return told


def when(moment: int) -> str:
    """A moment of traffic (UTC microseconds) to the minute."""
    return from_micros(moment).strftime("%Y-%m-%d %H:%M UTC")


def _of(reading: Any) -> str:
    value, threshold = reading.get("value"), reading.get("threshold")
    unit = f" {reading['unit']}" if reading.get("unit") else ""
    about = f" of {reading['of']}" if reading.get("of") else ""
    figure = "" if value is None else f" {value:.4g}{unit}"
    bound = "" if threshold is None else f" (threshold {threshold:.4g}{unit})"
    where = f": {reading['where']}" if reading.get("where") else ""
    return f"{reading['check']}{about}{figure}{bound}{where}"
