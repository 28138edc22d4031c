"""Monitoring and drift, and the retraining policy: what `watch`, `alerts` and `policy` declare."""

from __future__ import annotations

from headrace.core.document import Design
from headrace.core.spec.watching import Reaction, Receiver
from headrace.core.watching import Family
from headrace.policy.reacting import FAMILIES
from headrace.report.document.blocks import (
    Block,
    Code,
    Heading,
    Items,
    Lack,
    Para,
    Part,
    Table,
    Words,
)

_KINDS: dict[str, tuple[str, tuple[Family, ...]]] = {
    "Data": (
        "Do inputs still look like the reference rows?",
        (Family.QUALITY, Family.DRIFT, Family.MULTIVARIATE),
    ),
    "Model": (
        "Do answers still look like those of validation, and are they as good?",
        (
            Family.PREDICTION,
            Family.ESTIMATED,
            Family.PERFORMANCE,
            Family.CALIBRATION,
            Family.SLICES,
            Family.FAIRNESS,
            Family.VALUE,
        ),
    ),
    "Concept": (
        "Is the relation between inputs and truth still the same, once the truth is known?",
        (Family.CONCEPT,),
    ),
    "Operational": (
        "Does the service answer, soon enough, without errors, at a price that was agreed?",
        (Family.HEALTH, Family.COST),
    ),
}
_TOOLS = {
    Family.QUALITY: "shares of missing, out of range and new values; types, schema, volume, freshness",
    Family.DRIFT: "PSI, KS, Wasserstein, Jensen–Shannon, chi-square, by column",
    Family.MULTIVARIATE: "a classifier of reference rows against those of the window",
    Family.PREDICTION: "the same statistics of predictions and probabilities",
    Family.ESTIMATED: "the metric as probabilities or an error model let expect it, before labels",
    Family.PERFORMANCE: "the metric, once the labels are due",
    Family.CALIBRATION: "what was said against what came true",
    Family.SLICES: "the metric by slice",
    Family.FAIRNESS: "the declared measures by group",
    Family.VALUE: "what decisions were worth, by the declared value",
    Family.CONCEPT: "ADWIN, Page–Hinkley and DDM on the stream of errors",
    Family.HEALTH: "latency, errors, fallbacks and silence, by the prediction log",
    Family.COST: "the price of 1,000 predictions, from declared prices",
}
_DO = {
    "alert": "alert",
    "retrain": "retrain",
    "threshold": "choose the threshold anew",
    "roll back": "roll back",
    "retire": "retire: the fallback answers",
    "ask": "ask a person",
}


def monitoring(design: Design) -> Part:
    """The section."""
    watch, alerts = design.spec.watch, design.spec.alerts
    span = f"{watch.rows:,} answers" if watch.rows is not None else watch.window
    blocks: list[Block] = [
        Para(
            (
                "Live traffic is counted in windows of ",
                Code(span),
                " (watch), by release and arm, into the bins of the release's reference, and judged once "
                f"a window has {watch.least:,} answers. Labels are waited for ",
                Code(watch.labels),
                ". Statistics have no thresholds of their own: these follow from the budget of ",
                Code(alerts.budget),
                " false alarms in all (alerts.budget), by resamples of the reference.",
            )
        ),
        *_hears(design),
    ]
    for kind, (asks, families) in _KINDS.items():
        blocks += [Heading(kind), Para(asks), _families(design, families)]
    blocks += [
        Heading("At each run"),
        Items((("age of tables: ", _ages(design)), "expectations and assumptions, again before a promotion")),
    ]
    return Part("Monitoring and drift", tuple(blocks))


def _hears(design: Design) -> list[Block]:
    receivers = design.spec.alerts.to
    if not receivers:
        return [Para(("Alerts are in ledger and log, and on the dashboard; nobody is sent them.",))]
    return [Para("Alerts are in ledger and log, and go to:"), Items(tuple(_receiver(r) for r in receivers))]


def _receiver(receiver: Receiver) -> Words:
    way = next(w for w in ("webhook", "slack", "email") if getattr(receiver, w))
    which = "those that do harm" if receiver.severity == "high" else "all"
    later = f", unacknowledged for {receiver.after}" if receiver.after else ""
    signed = ", signed" if receiver.secret else ""
    return (f"{way} ", Code(getattr(receiver, way)), f": {which}{later}{signed}")


def _ages(design: Design) -> str:
    aged = [f"{n} {t.max_age}" for n, t in sorted(design.spec.data.tables.items()) if t.max_age]
    return ", ".join(aged) if aged else "no table has a max_age, so none is held"


def _families(design: Design, families: tuple[Family, ...]) -> Block:
    rows = tuple(
        (f.value, _TOOLS[f], _threshold(design, f), _action(design, f))
        if f.value not in design.spec.watch.off
        else (f.value, "not watched (watch.off)", "–", "–")
        for f in families
    )
    return Table(("watched", "tool", "threshold", "action"), rows)


def _threshold(design: Design, family: Family) -> str | Code:
    watch, serve = design.spec.watch, design.spec.serve
    if family is Family.HEALTH:
        p99 = watch.health.p99 or (serve.p99 if serve else None)
        bounds = [f"p99 <= {p99}"] if p99 else []
        bounds += [f"errors <= {watch.health.errors:g}", f"fallback <= {watch.health.fallback:g}"]
        bounds += [f"silent < {watch.health.silent}"] if watch.health.silent else []
        return Code(", ".join(bounds))
    if family is Family.COST:
        costs = watch.costs
        if costs is None or costs.per_1000 is None:
            return "none declared (watch.costs.per_1000)"
        return Code(f"<= {costs.per_1000:g} {costs.unit}".rstrip())
    return "by the budget"


def _action(design: Design, family: Family) -> str:
    for reaction in design.spec.policy.reactions:
        if family in FAMILIES.get(reaction.on, ()):
            return told(reaction)
    return "alert"


def told(reaction: Reaction) -> str:
    """What a reaction does, and with which limits, in words."""
    more = [f"after {reaction.least} windows in a row"] if reaction.least > 1 else []
    more += [f"with {reaction.history} of history"] if reaction.history else []
    more += [f"within {reaction.within} of its promotion, else ask"] if reaction.within else []
    return ", ".join([_DO[reaction.do], *more])


def retraining_policy(design: Design) -> Part:
    """The section."""
    policy, spec = design.spec.policy, design.spec
    who = "somebody other than the author" if spec.problem.approval == "other" else "the author"
    gates = (
        "Training again is the same spine with the same gates, on a fresh snapshot and behind a fresh seal; "
        f"the challenger meets the champion on recent rows. A run by hand is approved by {who} "
        "(problem.approval)."
    )
    if not policy.reactions:
        nothing = Para(("Nothing is done by itself: a person starts runs. ", Lack("policy.reactions")))
        return Part("Retraining policy", (nothing, Para(gates)))
    asked = "a person lets it through" if policy.approval == "ask" else "the gates alone let it through"
    up = ", then it goes up the ramp of a canary" if policy.canary else ""
    limits = [
        (f"{asked} (policy.approval: {policy.approval}){up}"),
        f"between two actions of one kind: {policy.cool_down}",
    ]
    if spec.split.by == "time":
        windows = ", ".join(policy.windows)
        limits.append(
            f"history: the best of {windows}, by rolling origin"
            if windows
            else "history: the best of all, a half, a quarter and an eighth"
        )
        limits.append(f"holdout: {policy.holdout or 'a quarter of what came since, for each part'}")
    return Part(
        "Retraining policy",
        (
            Heading("What calls for what"),
            Table(("on", "does"), tuple((_cause(r), told(r)) for r in policy.reactions)),
            Para(("The first line that fits an alert counts; ", Code("headrace worker"), " carries it out.")),
            Heading("How"),
            Items(tuple(limits)),
            Para(gates),
        ),
    )


def _cause(reaction: Reaction) -> Words:
    if reaction.on == "schedule":
        return ("schedule ", Code(reaction.cron))
    if reaction.on == "labels":
        of = [
            f"{reaction.count:,} new ones" if reaction.count else "",
            f"{reaction.age} old" if reaction.age else "",
        ]
        return f"labels: {' or '.join(o for o in of if o)}"
    return "continuous: any new label" if reaction.on == "continuous" else reaction.on
