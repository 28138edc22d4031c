"""Who hears of alerts and what is done: against task, split and calendar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from headrace.core.clock import parse_duration
from headrace.core.spec.models import Spec
from headrace.core.spec.watching import Reaction, Receiver
from headrace.engine.checking.checker import Checker
from headrace.learn.registry import continuing
from headrace.policy.reacting import FAMILIES

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_WAYS = ("webhook", "slack", "email")
_ALERTS = frozenset(FAMILIES)
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


def check_policy(check: Checker) -> None:
    """Add a problem for everything under `alerts` and `policy` that can't be meant."""
    watch = check.parsed.spec.watch
    if watch.rows is not None and watch.rows < watch.least:
        check.add(
            f"a window of {watch.rows} answers (watch.rows) has fewer than are judged ({watch.least})",
            *("watch", "rows"),
            fix=f"write rows: {watch.least} or more, or a smaller `least`",
        )
    spec = check.parsed.spec
    if spec.threshold is not None and spec.problem.task != "binary":
        check.add(f"a {spec.problem.task} task has no threshold", "threshold", fix="remove it")
    _check_alerts(check)
    _check_policy(check)


def learned_anew(spec: Spec) -> Iterator[tuple[int, str]]:
    """Reactions on continuous whose jobs learn all rows from the start, and why."""
    for i, reaction in enumerate(spec.policy.reactions):
        if reaction.on != "continuous":
            continue
        if not continuing(m.use for m in spec.model_specs().values()):
            yield i, "none of the models learns row by row (river does)"
        elif spec.split.by != "time":
            yield i, f"split by {spec.split.by}, training rows are drawn anew whenever there are more"
        elif reaction.history or spec.policy.windows or spec.split.history:
            yield i, "with less than all history, the first rows are others each time"


def variables(receivers: Iterable[Receiver]) -> dict[str, tuple[int, str]]:
    """The environment variables that receivers need: which receiver names each first, and under which key."""
    found: dict[str, tuple[int, str]] = {}
    for i, receiver in enumerate(receivers):
        for key in ("webhook", "slack", "secret"):
            if getattr(receiver, key):
                found.setdefault(getattr(receiver, key), (i, key))
        if receiver.email:
            found.setdefault("HEADRACE_SMTP", (i, "email"))
    return found


# --- alerts --------------------------------------------------------------------------------------


def _check_alerts(check: Checker) -> None:
    alerts = check.parsed.spec.alerts
    number = re.match(r"[\d.,]+", alerts.budget)
    if number is not None and float(number[0].replace(",", "")) <= 0:
        check.add(
            f"a budget of {alerts.budget} lets nothing be told",
            *("alerts", "budget"),
            why="thresholds follow from how many false alarms may be expected",
            fix="write one above zero, such as 1 per month",
        )
    for i, receiver in enumerate(alerts.to):
        _check_receiver(check, receiver, i)


def _check_receiver(check: Checker, receiver: Receiver, i: int) -> None:
    path = ("alerts", "to", i)
    ways = [w for w in _WAYS if getattr(receiver, w)]
    if len(ways) != 1:
        told = "no way to reach it" if not ways else f"{len(ways)} ways: {' and '.join(ways)}"
        check.add(f"a receiver has {told}", *path, fix="give exactly one of webhook, slack and email")
    for key in ("webhook", "slack", "secret"):
        value = getattr(receiver, key)
        if value and not _VARIABLE.fullmatch(value):
            check.add(
                f"{key} is no name of an environment variable",
                *path,
                key,
                why="addresses and keys are secrets, and specs are kept and shown",
                fix=f"put it into a variable, and name that: {key}: ALERTS_{key.upper()}",
            )
    if receiver.secret and not receiver.webhook:
        check.add("only webhooks are signed", *path, "secret", fix="remove secret, or use a webhook")
    if receiver.email and not _ADDRESS.fullmatch(receiver.email):
        check.add(f"{receiver.email!r} is no address", *path, "email", fix="write one: you@example.com")
    if receiver.after is not None and not parse_duration(receiver.after):
        check.add("after is no time at all", *path, "after", fix="write one, such as 2 h, or leave it out")


# --- policy --------------------------------------------------------------------------------------


def _check_policy(check: Checker) -> None:
    spec = check.parsed.spec
    policy = spec.policy
    for i, reaction in enumerate(policy.reactions):
        _check_reaction(check, reaction, i)
        _check_reached(check, reaction, i)
    if policy.approval == "none" and spec.problem.approval == "other":
        check.add(
            "policy.approval: none lets a release through that problem.approval wants somebody to approve",
            *("policy", "approval"),
            why="what a worker made has nobody else to approve it",
            fix="write approval: ask, or problem.approval: self",
        )
    by_time = spec.split.by == "time"
    for key, value in (("windows", policy.windows), ("holdout", policy.holdout)):
        if value and not by_time:
            check.add(f"policy.{key} only works by time", "policy", key, fix="remove it, or split by time")
    for i, length in enumerate(policy.windows):
        if not parse_duration(length):
            check.add("a window is no time at all", "policy", "windows", i, fix="write one, such as 90 days")
    if policy.holdout is not None and not parse_duration(policy.holdout):
        check.add("policy.holdout is no time at all", "policy", "holdout", fix="write one, such as 7 days")


def _check_reaction(check: Checker, reaction: Reaction, i: int) -> None:
    path, spec = ("policy", "reactions", i), check.parsed.spec
    if reaction.on == "schedule":
        _check_cron(check, reaction.cron, *path)
    elif reaction.cron:
        check.add(
            f"cron means nothing on {reaction.on}", *path, "cron", fix="remove it, or write on: schedule"
        )
    counted = reaction.count is not None or reaction.age is not None
    if reaction.on == "labels" and not counted:
        check.add(
            "a reaction on labels needs how many, or how old",
            *path,
            fix="add count: 1000, or age: 30 days",
        )
    if reaction.on == "labels" and reaction.age is not None and not parse_duration(reaction.age):
        check.add("age is no time at all", *path, "age", fix="write one, such as 30 days")
    if reaction.on != "labels" and counted:
        check.add(
            f"count and age mean nothing on {reaction.on}", *path, fix="remove them, or write on: labels"
        )
    if reaction.least > 1 and reaction.on not in _ALERTS:
        check.add(f"least means nothing on {reaction.on}", *path, "least", fix="remove it: it counts windows")
    if reaction.do in ("roll back", "retire") and reaction.on in ("labels", "schedule"):
        check.add(
            f"{reaction.do} on {reaction.on}: nothing is wrong with a release because of that",
            *path,
            "do",
            fix="write do: retrain or ask, or react to performance or health",
        )
    if reaction.on == "continuous" and reaction.do != "retrain":
        check.add(
            f"{reaction.do} on continuous: new labels are there to be learned from",
            *path,
            "do",
            fix="write do: retrain",
        )
    if reaction.within is not None and reaction.do != "roll back":
        check.add(f"within means nothing for {reaction.do}", *path, "within", fix="remove it")
    if reaction.history is not None and (reaction.do != "retrain" or spec.split.by != "time"):
        what = "by another split than by time" if reaction.do == "retrain" else f"for {reaction.do}"
        check.add(f"history means nothing {what}", *path, "history", fix="remove it")
    if reaction.do == "threshold" and spec.problem.task != "binary":
        check.add(
            f"a {spec.problem.task} task has no threshold", *path, "do", fix="write do: retrain, or ask"
        )
    if reaction.do == "retire" and not (spec.serve and spec.serve.fallback):
        check.add(
            "retire leaves the answers to the fallback, and none is declared",
            *path,
            "do",
            fix="declare serve.fallback: [{value: …}], or write do: ask",
        )


def _check_cron(check: Checker, cron: str, *path: str | int) -> None:
    from croniter import CroniterBadDateError, croniter

    if not cron:
        check.add("a reaction on a schedule needs its cron", *path, fix="add cron: '0 3 * * 1'")
        return
    sound = len(cron.split()) == 5 and croniter.is_valid(cron)
    try:
        if sound:
            croniter(cron, _SOME_DAY).get_next(datetime)
    except CroniterBadDateError:
        check.add(f"there is no day on which {cron!r} comes", *path, "cron", fix="mend day and month")
        return
    if not sound:
        check.add(
            f"{cron!r} is no cron expression",
            *path,
            "cron",
            fix="write five fields, such as '0 3 * * 1': at three every Monday",
        )


def _check_reached(check: Checker, reaction: Reaction, i: int) -> None:
    """Whether an alert can come to this reaction: the first that fits counts."""
    if reaction.on not in _ALERTS:
        return
    spec = check.parsed.spec
    mine = set(FAMILIES[reaction.on])
    if mine <= set(spec.watch.off):
        check.add(
            f"on {reaction.on}: nothing of that is watched",
            *("policy", "reactions", i, "on"),
            fix="take it out of watch.off",
        )
    for j, before in enumerate(spec.policy.reactions[:i]):
        if before.do == "roll back":
            continue  # it gives way where it comes too late, or there is nothing to go back to
        if before.on in _ALERTS and mine <= set(FAMILIES[before.on]) and before.least <= reaction.least:
            check.add(
                f"no alert comes to this reaction: reaction {j + 1} (on {before.on}) takes them all",
                *("policy", "reactions", i),
                why="the first that fits counts",
                fix="write the special ones first",
            )
            return
