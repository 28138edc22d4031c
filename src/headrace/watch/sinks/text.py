"""Alerts and jobs in words."""

from __future__ import annotations

from typing import Any

from headrace.core.clock import from_micros, iso_micros
from headrace.core.jobs import Do, Job
from headrace.core.watching import AlertView, Message, Told


def lines(message: Message) -> list[str]:
    """What happened, since when, why; what to do next. Plain text."""
    about = message.about
    return _of_job(about) if isinstance(about, Job) else _of_alert(about, message.told)


def _of_job(job: Job) -> list[str]:
    told = [job.tells, f"about release {job.release}, queued {when(iso_micros(job.queued))}"]
    if job.result.get("run"):
        made = job.result.get("release")
        told.append(f"{job.result['run']}" + (f" made release {made}" if made else ""))
    told.append(shown(job))
    if job.status == "asked":
        what = " --do WHAT" if job.do is Do.ASK else ""
        told += [f"headrace jobs approve {job.job}{what}", f"headrace jobs refuse {job.job} --reason WHY"]
    return told


def _of_alert(alert: AlertView, why: Told) -> list[str]:
    told = [
        f"{alert.title}",
        f"release {alert.release}, {alert.arm}; since {when(alert.since)}, last seen {when(alert.seen)}"
        f" ({alert.windows} window{'s' if alert.windows > 1 else ''})",
    ]
    if why is Told.RESOLVED:
        told.append(f"resolved by {alert.by}: {alert.reason}")
    told += [f"- {_figures(r)}" for r in alert.readings]
    told += [f"  {line}" for line in alert.why.get("lines", ())]
    told.append(shown(alert))
    if why is not Told.RESOLVED and alert.state == "open":
        told.append(f"headrace alerts ack {alert.alert}")
    return told


def shown(about: AlertView | Job) -> str:
    """The command that shows it."""
    return (
        f"headrace jobs show {about.job}" if isinstance(about, Job) else f"headrace alerts show {about.alert}"
    )


def when(moment: int) -> str:
    """A moment of traffic (UTC microseconds) to the minute."""
    return from_micros(moment).strftime("%Y-%m-%d %H:%M UTC")


def _figures(reading: Any) -> str:
    value, threshold = reading.get("value"), reading.get("threshold")
    unit = f" {reading['unit']}" if reading.get("unit") else ""
    about = f" of {reading['of']}" if reading.get("of") else ""
    figure = "" if value is None else f" {value:.4g}{unit}"
    bound = "" if threshold is None else f" (threshold {threshold:.4g}{unit})"
    where = f": {reading['where']}" if reading.get("where") else ""
    return f"{reading['check']}{about}{figure}{bound}{where}"
