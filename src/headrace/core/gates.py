"""Every gate: what it asks, at the end of which stage, and what to do when it blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.core.errors import UserError, did_you_mean

STAGES: Mapping[str, str] = {
    "frame": "the problem: what is decided, by which prediction, how good it has to be",
    "ingest": "a content-addressed snapshot of every table",
    "split": "train, validation and the sealed test",
    "features": "one graph from raw columns to the feature matrix, fitted on train",
    "inspect": "what the training rows hold: profile, leaks and faults",
    "learn": "naive baseline, today's rule and the candidates under cross-validation; the best refitted",
    "package": "one ONNX graph from raw columns to the decision, with its input schema",
    "evaluate": "metrics with intervals on validation, measured on the packaged graph",
    "test": "the seal is opened: the honest estimate",
    "promote": "a release is made; it becomes challenger, then champion",
}
"""The stages in their order, and what each makes."""


@dataclass(frozen=True)
class Gate:
    """A question that has to be answered before work goes on."""

    name: str
    stage: str
    asks: str
    fix: str
    waivable: bool = True


_ALL = (
    Gate(
        "spec-complete",
        "frame",
        "Are objective, decision and an owner written down?",
        "fill in problem.objective, problem.decision and problem.owners.default",
    ),
    Gate(
        "go",
        "frame",
        "Is the go decision still valid?",
        "decide again and renew problem.go.expires",
    ),
    Gate(
        "expectation",
        "ingest",
        "Does the data hold what `data.expect` says? One gate an expectation.",
        "mend the data at its source, or correct the expectation",
    ),
    Gate(
        "assumption",
        "ingest",
        "Do the frame's assumptions hold on the data? One gate an assumption with a check.",
        "find out why it broke before going on: the project rests on it",
    ),
    Gate(
        "pii",
        "ingest",
        "Is nothing personal kept that nobody has decided about? A scan of every column of every table.",
        "say what becomes of each column under data.pii: drop, hash, mask, or keep with a reason",
        waivable=False,
    ),
    Gate(
        "fresh",
        "ingest",
        "Is each table with a `max_age` young enough at this moment? One gate a table.",
        "get newer data, or raise data.tables.TABLE.max_age",
    ),
    Gate(
        "represents",
        "split",
        "Do the training rows stand for the declared population? One gate an entry of `data.population`.",
        "get more rows of the groups that are short, or correct the declared shares",
    ),
    Gate(
        "split-crossing",
        "split",
        "Does no row, group or moment stand on both sides of the split?",
        "choose the split that keeps what belongs together in one part (split.by, split.group, split.gap)",
        waivable=False,
    ),
    Gate(
        "classes-present",
        "split",
        "Is every class present in train, validation and test?",
        "get more rows of the class, stratify on the target, or change the parts' sizes",
    ),
    Gate(
        "leakage",
        "inspect",
        "Does no feature know what is not known yet, and nothing stand on both sides of the split? One gate "
        "a finding that blocks.",
        "mend it as the finding says, or accept it with a reason under inspect.allow",
    ),
    Gate(
        "faults",
        "inspect",
        "Are features, target and metric free of faults that block? One gate a finding that does.",
        "mend it as the finding says, or accept it with a reason under inspect.allow",
    ),
    Gate(
        "beats-naive",
        "learn",
        "Is the best candidate better than the naive baseline beyond noise?",
        "find features that carry signal; with none, no model should ship",
    ),
    Gate(
        "beats-today",
        "learn",
        "Is the best candidate better than today's solution beyond noise?",
        "keep today's solution, or find features that it does not use",
    ),
    Gate(
        "goal-reachable",
        "learn",
        "Does any decision threshold keep the constraints of `problem.goal` on rows out of fold?",
        "find features that carry more signal, or loosen the constraint openly",
    ),
    Gate(
        "parity",
        "package",
        "Does the packaged graph answer as the trained model does, on real and on edge rows?",
        "use a candidate that converts exactly; the evidence names the rows that differ",
        waivable=False,
    ),
    Gate(
        "latency",
        "package",
        "Does one row pass the graph within limits.latency, or serve.p99 if there is one (95th percentile)?",
        "use a smaller model or fewer features, or raise limits.latency (or serve.p99)",
    ),
    Gate(
        "size",
        "package",
        "Is the packaged graph within limits.size?",
        "use a smaller model, or raise limits.size",
    ),
    Gate(
        "lineage",
        "package",
        "Can every input of the graph be traced to a kept snapshot and a named stage?",
        "run `headrace audit`, then run again to make what is missing anew",
    ),
    Gate(
        "slice",
        "evaluate",
        "Does the metric reach `evaluate.floor` in every declared slice, at the safe end? One gate a slice.",
        "improve the model there (features, rows), declare fewer or larger slices, or lower the floor openly",
    ),
    Gate(
        "fairness",
        "evaluate",
        "Are the groups of a sensitive column treated alike, within `evaluate.fairness.rules`?",
        "look at the groups' rates in the report; get more rows of small groups, or change features or "
        "threshold",
    ),
    Gate(
        "calibration",
        "evaluate",
        "Do probabilities mean what they say, within `evaluate.calibration`, at the safe end?",
        "set `calibrate: sigmoid` or `calibrate: isotonic`, or get more validation rows",
    ),
    Gate(
        "robustness",
        "evaluate",
        "Does the metric survive inputs that go wrong, within `evaluate.robustness.rules`?",
        "rest the model on more than one column, or make sure that the named one is there",
    ),
    Gate(
        "ship-at",
        "test",
        "Does the sealed test reach `problem.ship_at` at the safe end of its interval? One gate a metric.",
        "improve the model on validation, get more test rows (days, or groups), or lower the bar openly",
    ),
    Gate(
        "goal",
        "test",
        "Does the sealed test keep the goal's constraint at the safe end? One gate a constraint.",
        "improve the model on validation, get more test rows (days, or groups), or loosen it openly",
    ),
    Gate(
        "champion",
        "promote",
        "Is the release no worse than the champion on the same rows, within promote.margin?",
        "improve the candidate, get more validation rows, widen promote.margin, or keep the champion",
    ),
    Gate(
        "champion-slice",
        "promote",
        "Does no declared slice lose more than promote.slice_margin against the champion, beyond noise? "
        "One gate a slice.",
        "improve the candidate there, widen promote.slice_margin, or keep the champion",
    ),
    Gate(
        "best-so-far",
        "promote",
        "Is the release no worse than any champion before, within promote.margin? Small losses add up.",
        "improve the candidate, get more validation rows, widen promote.margin, or bring the best one back: "
        "headrace release promote NAME",
    ),
    Gate(
        "skew",
        "promote",
        "Do rows that are sent as requests get the features and scores that training computed for them? One "
        "gate for the release's own tables, one for the online store.",
        "find what differs by the feature and row that are named: a table that has changed since, a function "
        "that sees its batch; then run again, or fill the online store anew",
    ),
    Gate(
        "speed",
        "promote",
        "Does the release answer as fast, and as often, as `serve` wants, on this machine, from a request's "
        "bytes to those of its answer? One gate for each of p50, p99 and throughput that is stated.",
        "use a smaller model or fewer lookups, measure on a quiet machine, or change the target openly",
    ),
    Gate(
        "one-change",
        "promote",
        "Does the release differ from the champion in one of data, features, model, tuning, code and rules?",
        "measure each change alone: headrace ablate; or change one thing at a time",
    ),
)

GATES: Mapping[str, Gate] = {g.name: g for g in _ALL}
"""Gates by name. A gate that comes once for each of several things is judged as `name: thing`."""


def gate_of(name: str) -> Gate:
    """The gate behind a judged name: `expectation: distance > 0` is judged by the gate `expectation`.

    Raises:
        UserError: there is no such gate.
    """
    gate = GATES.get(name.partition(":")[0].strip())
    if gate is None:
        raise UserError(f"there is no gate {name!r}", fix=did_you_mean(name, GATES))
    return gate
