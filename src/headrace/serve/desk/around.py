"""A release at the desk: its policy for inputs, the rules before and after the model, and its fallbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.answered import MODEL
from headrace.core.ports import Store
from headrace.core.task import Kind, label
from headrace.release.manifest import Manifest
from headrace.release.plan import PlannedRule
from headrace.serve.answer import Answerer
from headrace.serve.desk.inputs import Inputs, Taken
from headrace.serve.desk.rules import Fallbacks, Rules, answer_columns, load_rules
from headrace.serve.online import Notes

Answer = dict[str, Any]
Feeds = Mapping[str, NDArray[Any]]


@dataclass(eq=False)
class Begun:
    """Rows before the model is asked. rest: those that it is to answer; spots: where they are among all
    (None: they are all); first: the rule before it that answers each row, -1 for none (empty: there are no
    rules)."""

    taken: Taken
    rest: Taken
    notes: Notes
    spots: list[int] | None = None
    first: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Answers:
    """Answers of rows, what gave each (the model, or a rule), and the rows' columns as far as they are
    known. spots: the rows for which columns were filled in (None: for all)."""

    answers: list[Answer]
    by: list[str]
    feeds: Feeds
    spots: list[int] | None = None


class Around:
    """Answers rows of one release, rules included. Safe for use by several threads.

    blocks: whether `begin` may take as long as it likes, because code of the release's owner runs there.
    filled: the raw columns that the graph reads and no caller sends, with their types.
    """

    def __init__(self, store: Store, manifest: Manifest, answerer: Answerer) -> None:
        plan, serving = manifest.plan, manifest.serving
        self.inputs = Inputs(answerer, plan.inputs)
        self.fallbacks = Fallbacks(store, plan.fallback, serving)
        self.blocks = bool(serving.functions)
        self.filled = tuple((f.name, f.type) for f in serving.fields if f.source != "event")
        self._answerer = answerer
        self._before, self._after = load_rules(store, plan.before), load_rules(store, plan.after)
        # What reads only what was sent is asked before anything is looked up, or the owner's code is called.
        self._early = self._before is not None and self._before.reads <= answerer.types.keys()
        self._blank = _blank(manifest)

    def ruled(self, taken: Taken) -> Answers | None:
        """The answers where rules before the model give all of them, and read only what was sent: neither
        model nor owner's code is needed. None: they are."""
        before = self._before
        if before is None or not self._early:
            return None
        taken.first = before.first(taken.feeds, len(taken.rows))
        if min(taken.first, default=-1) < 0:
            return None
        return Answers(*self._merged(before, taken.first, [], []), taken.feeds)

    def instead(self, taken: Taken, row: int) -> tuple[Answer, str] | None:
        """A row's answer without any model, and what gave it: a rule before the model, else a fallback. None
        where nothing is left."""
        if self._before is not None and taken.first is not None and taken.first[row] >= 0:
            (answer,), (by,) = self._merged(self._before, [taken.first[row]], [], [])
            return answer, by
        found = self.fallbacks.answer(taken.feeds, row)
        return None if found is None else (self.given(found[0], None), f"fallback: {found[1]}")

    def begin(self, taken: Taken) -> Begun:
        """Ask the rules before the model, and fill in what the model and its rules read beside what was sent.

        Raises:
            UserCodeError: a function of the release's owner raised.
        """
        before, complete = self._before, self._complete
        if before is None:
            return Begun(taken, taken, complete(taken))
        rows = len(taken.rows)
        notes = Notes() if self._early else complete(taken)
        first = before.first(taken.feeds, rows) if taken.first is None else taken.first
        spots = [i for i in range(rows) if first[i] < 0]
        every = len(spots) == rows
        rest = taken if every else taken.of(spots)
        if self._early and spots:
            notes = complete(rest)
            if not every:
                notes = notes.at(spots)
        return Begun(taken, rest, notes, None if every else spots, first)

    def _complete(self, taken: Taken) -> Notes:
        taken.feeds, notes = self._answerer.complete(taken.rows, taken.feeds)
        return notes

    def decide(self, feeds: Feeds, rows: int, *, explain: int = 0) -> list[Answer]:
        """The model's answers for complete feeds, and the rules after it: what a rule overruled has `by`, and
        the model's prediction as `overruled`.

        Raises:
            DataError: contributions are wanted and the release can't give them.
            HeadraceError: the graph failed.
        """
        answerer, after = self._answerer, self._after
        if after is None:
            return answerer.decide(feeds, rows, explain=explain)
        outputs = answerer.run(feeds, rows)
        answers = answerer.told(feeds, outputs, rows, explain=explain)
        spoken = {**feeds, **answer_columns(answerer.serving, outputs, rows)}
        for answer, rule in zip(answers, after.first(spoken, rows), strict=True):
            if rule >= 0:
                answer["overruled"] = answer["prediction"]
                if "abstain" in answer:
                    answer["abstain"] = False
                answer["prediction"] = _prediction(after.planned[rule])
                answer["by"] = after.by[rule]
        return answers

    def end(self, begun: Begun, decided: list[Answer]) -> Answers:
        """An answer for every row that was begun."""
        by = [MODEL] * len(decided) if self._after is None else [a.pop("by", MODEL) for a in decided]
        feeds: Feeds = begun.rest.feeds
        if begun.spots is not None and self._before is not None:
            decided, by = self._merged(self._before, begun.first, decided, by)
            rows = len(begun.first)
            feeds = {n: _spread(v, begun.spots, rows) for n, v in feeds.items()}
            feeds = {**feeds, **begun.taken.feeds}
        begun.notes.tell(decided)
        return Answers(decided, by, feeds, begun.spots if self._early else None)

    def _merged(
        self, before: Rules, first: list[int], decided: list[Answer], by: list[str]
    ) -> tuple[list[Answer], list[str]]:
        """The model's answers among those of the rules before it."""
        models = iter(zip(decided, by, strict=True))
        release = self._answerer.release
        pairs = [
            next(models)
            if rule < 0
            else (self.given(_prediction(before.planned[rule]), release), before.by[rule])
            for rule in first
        ]
        return [answer for answer, _ in pairs], [told for _, told in pairs]

    def given(self, prediction: Any, release: str | None) -> Answer:
        """An answer that no model had a part in."""
        return {**self._blank, "prediction": prediction, "release": release}


def _prediction(rule: PlannedRule) -> Any:
    return None if rule.answer is None else label(rule.answer)


def _blank(manifest: Manifest) -> Answer:
    """An answer that says nothing."""
    serving = manifest.serving
    blank: Answer = {"prediction": None}
    if serving.task.kind is not Kind.REGRESSION:
        blank["probability"] = None
    blank["release"] = None
    return blank


def _spread(values: NDArray[Any], spots: list[int], rows: int) -> NDArray[Any]:
    """Values of some rows among all; nobody reads those of the others."""
    spread = np.zeros(rows, values.dtype)
    spread[spots] = values
    return spread
