"""Rules and fallbacks at work: conditions over raw columns and answers, for one row as for many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.answered import MODEL
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT
from headrace.core.task import Kind, code_of
from headrace.graph.run import Runner
from headrace.release.manifest import Serving
from headrace.release.plan import PlannedFallback, RuleSet

Feeds = Mapping[str, NDArray[Any]]


class Rules:
    """The rules before a model, or those after it. Safe for use by several threads."""

    def __init__(self, store: Store, planned: RuleSet) -> None:
        self.planned = planned.rules
        self.reads = frozenset(planned.reads)
        self.by = tuple(f"rule: {r.name}" for r in planned.rules)
        self._runner = Runner(store.get(planned.graph))
        self._outputs = [str(i) for i in range(len(planned.rules))]

    def first(self, feeds: Feeds, rows: int) -> list[int]:
        """For each row the number of the first rule that holds, -1 where none does. A condition that is null
        doesn't hold."""
        outputs = self._runner.run(feeds, rows)
        found = [-1] * rows
        for i in range(len(self._outputs) - 1, -1, -1):
            for row in np.flatnonzero(outputs[self._outputs[i]] == 1.0).tolist():
                found[row] = i
        return found


def load_rules(store: Store, planned: RuleSet) -> Rules | None:
    """The rules; None where there are none."""
    return Rules(store, planned) if planned.rules else None


class Fallbacks:
    """What answers when no release can, in the spec's order. Safe for use by several threads."""

    def __init__(self, store: Store, planned: tuple[PlannedFallback, ...], serving: Serving) -> None:
        self._task = serving.task
        self._chain = [(f, Runner(store.get(f.graph)) if f.graph else None) for f in planned]

    def answer(self, feeds: Feeds, row: int) -> tuple[Any, str] | None:
        """A row's prediction as the task's own value, and `rule` or `value`; None where nothing is left. What
        gives null, or no class, gives way to the next."""
        for fallback, runner in self._chain:
            if runner is None:
                return fallback.value, "value"
            if any(name not in feeds for name in fallback.reads):
                continue
            one = {name: feeds[name][row : row + 1] for name in fallback.reads}
            value = self._value(runner.run(one, 1)["0"][0])
            if value is not None:
                return value, "rule"
        return None

    def _value(self, found: Any) -> Any:
        """A rule's result as a value of the task; None for null and for what is no class."""
        if isinstance(found, str):
            return None if found == NULL_TEXT or code_of(self._task, found) is None else found
        if not np.isfinite(found):
            return None
        if self._task.kind is Kind.REGRESSION:
            return float(found)
        if self._task.kind is Kind.BINARY:
            return self._task.classes[int(found == 1.0)]
        code = code_of(self._task, float(found))
        return None if code is None else self._task.classes[code]


def overrule(
    serving: Serving, before: Rules | None, after: Rules | None, feeds: Feeds, outputs: Feeds, rows: int
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """A graph's outputs [rows, ...] with the rules' answers among them, and what answered each row.

    Rows whose prediction is none are True in `withheld`; those that a rule before the model answered, so that
    it was not asked, in `unasked`: its other outputs mean nothing there.
    """
    by = [MODEL] * rows
    changed = dict(outputs)
    withheld, unasked = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    predicted = "prediction" if serving.task.kind is Kind.REGRESSION else "decision"
    values = np.array(outputs[predicted])
    away = np.array(outputs["abstain"]) if "abstain" in outputs else None
    spoken = {**feeds, **answer_columns(serving, outputs, rows)}
    for rules in (after, before):  # what a rule before the model says stands
        if rules is None:
            continue
        for row, rule in enumerate(rules.first(spoken, rows)):
            if rule < 0:
                continue
            answer = rules.planned[rule].answer
            value = answer if predicted == "prediction" else code_of(serving.task, answer)
            withheld[row] = value is None
            unasked[row] = rules is before
            if value is not None:
                values[row] = value
            if away is not None:
                away[row] = False
            by[row] = rules.by[rule]
    changed |= {predicted: values, "withheld": withheld, "unasked": unasked}
    if away is not None:
        changed["abstain"] = away
    return changed, by


def answer_columns(serving: Serving, outputs: Feeds, rows: int) -> dict[str, NDArray[Any]]:
    """What conditions read of answers, as raw columns: `prediction` (null where it abstains); of classes
    `confidence`, that of the predicted one, `probability` (of two classes) and `set_size`; else `lower` and
    `upper`."""
    if serving.task.kind is Kind.REGRESSION:
        return {
            name: np.where(np.isfinite(outputs[name]), outputs[name], np.nan).astype(np.float64)
            for name in ("prediction", "lower", "upper")
            if name in outputs
        }
    decision, probability = outputs["decision"], np.asarray(outputs["probability"], np.float64)
    found = {"prediction": _classes(serving, decision, outputs.get("abstain"))}
    if serving.task.kind is Kind.BINARY:
        found["probability"] = probability
        found["confidence"] = np.where(decision == 1, probability, 1.0 - probability)
    else:
        found["confidence"] = np.ascontiguousarray(probability[np.arange(rows), decision])
    if "set" in outputs:
        found["set_size"] = outputs["set"].sum(axis=1).astype(np.float64)
    return found


def _classes(serving: Serving, decision: NDArray[np.int64], away: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The predicted classes as a raw column."""
    classes = serving.task.classes
    text = isinstance(classes[0], str)
    found = np.array(classes, dtype=object if text else np.float64)[decision]
    if away is not None:
        found[away] = NULL_TEXT if text else np.nan
    return found
