"""Answering for one release: event rows in, predictions out.

Needs numpy, pyarrow and onnxruntime alone. Knows nothing of HTTP or files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.core.codec import to_plain
from headrace.core.errors import DataError, UserCodeError, UserError
from headrace.core.ports import Store
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.spelled import spelled
from headrace.core.task import Kind, labels
from headrace.data.feed import feed
from headrace.data.functions.call import Where, function_plan
from headrace.data.privacy.key import KEY, KEY_FILE, load_key
from headrace.data.privacy.redact import Treatment, treat, treat_one
from headrace.graph.buffers import Array
from headrace.graph.rows import RowEncoder, sort_of
from headrace.graph.run import Runner
from headrace.release.manifest import Serving, Treated
from headrace.serve.filled import Filled
from headrace.serve.online import Notes, Online
from headrace.serve.why import Reasons, Why

Feeds = Mapping[str, NDArray[Any]]


class Answerer:
    """A release, loaded and ready. Safe for use by several threads.

    `types` are the columns that a caller sends, `labels` the classes in the order of their codes as callers
    see them (a whole number without a fraction).
    """

    def __init__(
        self,
        store: Store,
        serving: Serving,
        release: str,
        *,
        threads: int = 1,
        online: Online | None = None,
    ) -> None:
        """`online` answers for the tables that it holds, in place of the release's snapshots, where `answer`
        is asked."""
        self.serving = serving
        self.online = online
        self._store = store
        self.release = release
        self.types = serving.event_types()
        self.labels = labels(serving.task)
        self._names = tuple(spelled(c) for c in self.labels)
        self._runner = Runner(store.get(serving.graph), threads=threads)
        self._filled = Filled(store, serving, online)
        self._functions = function_plan(store, serving.functions, serving.code)
        self._functions.load()
        self._unused = frozenset(serving.unused)
        self._treated = {n: Treatment(t.do, length=t.length) for n, t in serving.treated.items()}
        self._secret = secret_of(serving.treated.values(), serving.pii_key)

    @cached_property
    def _encoder(self) -> RowEncoder:
        # Not in __init__: it makes a table of its zone's offsets, which files have no need of.
        return RowEncoder(self.types, zone=self.serving.zone, required=self.types, hidden=self._treated)

    @cached_property
    def _why(self) -> Why:
        # Not in __init__: it asks the graph for its reference rows, which few callers want explained.
        return Why(self._store, self.serving, self._runner)

    def warm(self) -> None:
        """Make now what the first answer would make: indexes, zone table, the graph's buffers."""
        with suppress(UserCodeError):  # a function of the user's may not take a row without any value
            self.answer([dict.fromkeys(self.types)])

    def answer(self, rows: Sequence[Mapping[str, Any]], *, explain: int = 0) -> list[dict[str, Any]]:
        """Answer JSON-like rows. Every column of `types` has to be sent (null where unknown); columns of the
        events table that the release doesn't read may be sent and are ignored.

        explain: how many columns' contributions each answer names under `why`, largest first; 0: none.

        Raises:
            DataError: every missing, unknown or wrongly typed field of every row, at once; or contributions
                are wanted and the release can't give them.
            UserCodeError: a function of the user's raised.
        """
        if explain:
            self.can_explain()
        feeds, notes = self._read(rows)
        answers = self.decide(feeds, len(rows), explain=explain)
        notes.tell(answers)
        return answers

    def seen(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Feeds, Feeds]:
        """What the graph reads of JSON-like rows, by raw column, and what it gives: all that `answer` says.

        Raises:
            DataError: as `answer`.
        """
        feeds, _ = self._read(rows)
        return feeds, self._runner.run(feeds, len(rows))

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Feeds:
        """The columns that a caller sends, by name, as the graph reads them: treated. Those of one row may be
        no arrays yet (`Row`).

        Raises:
            DataError: every missing, unknown or wrongly typed field of every row, at once.
        """
        if len(rows) == 1 and not self._treated and (row := self._encoder.row(rows[0])) is not None:
            return row
        feeds = self._encoder.plain(rows)
        if feeds is None:
            sent = rows
            if self._unused:
                rows = [_without(row, self._unused) for row in rows]
            if len(rows) == 1 and not isinstance(rows[0], Mapping):
                raise DataError(
                    f"a row has to be an object, not {sort_of(rows[0])}", fix="send names and values"
                )
            bare = any(row is not of for row, of in zip(rows, sent, strict=True))
            feeds = self._encoder.encode(rows) if bare else self._encoder.thorough(rows)
        for name, how in self._treated.items():
            feeds[name] = self._treat(name, how, rows, feeds)
        return feeds

    def complete(self, rows: Sequence[Mapping[str, Any]], feeds: Feeds) -> tuple[Feeds, Notes]:
        """What `encode` gave of these rows, and all that the server fills in: lookups, histories, what the
        release's own functions compute. And what could not be looked up.

        Raises:
            UserCodeError: a function of the user's raised.
        """
        notes = Notes()
        if self._filled:
            feeds = {**feeds, **self._find(rows, feeds, notes)}
        if self._functions.functions:
            feeds = {**feeds, **self._functions.compute(feeds, len(rows), "rows[{}]".format)}
        return feeds, notes

    def decide(self, feeds: Feeds, rows: int, *, explain: int = 0) -> list[dict[str, Any]]:
        """What the graph says of complete feeds; as `answer` has it, without its notes.

        Raises:
            DataError: contributions are wanted and the release can't give them.
        """
        return self.told(feeds, self.run(feeds, rows), rows, explain=explain)

    def run(self, feeds: Feeds, rows: int) -> dict[str, NDArray[Any]]:
        """The graph's outputs, each [rows, ...], for complete feeds."""
        return self._runner.run(feeds, rows)

    def told(self, feeds: Feeds, outputs: Feeds, rows: int, *, explain: int = 0) -> list[dict[str, Any]]:
        """Outputs as answers.

        Raises:
            DataError: contributions are wanted and the release can't give them.
        """
        why = self._why if explain else None
        answers = self._labelled(outputs, rows)
        if why is not None:
            for answer, reasons in zip(answers, why.tell(feeds, rows, explain), strict=True):
                answer["why"] = self._told(reasons)
        return answers

    def _read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Feeds, Notes]:
        """JSON-like rows as the graph reads them, treated and looked up; and what could not be looked up."""
        return self.complete(rows, self.encode(rows))

    def _told(self, reasons: Reasons) -> dict[str, Any]:
        """Contributions, ready for JSON."""
        return {
            "of": None if reasons.of is None else self.labels[reasons.of],
            "base": reasons.base,
            "contributions": [to_plain(r) for r in reasons.reasons],
            "rest": reasons.rest,
        }

    def score(
        self, columns: Mapping[str, Array], rows: int, where: Where = "row {}".format
    ) -> dict[str, NDArray[Any]]:
        """The graph's outputs, each [rows, ...], for Arrow columns `types` in snapshot form. `where` says
        what a row is called.

        The same as `answer` gives for these rows, but for the last bit of a probability: onnxruntime
        computes exp of one number by another routine than exp of several.

        Raises:
            UserCodeError: a function of the user's raised.
        """
        return self._runner.run(self.feeds(columns, rows, where), rows)

    def reasons(self, feeds: Feeds, rows: int, top: int) -> list[Reasons]:
        """The `top` largest contributions to each row's answer, for complete feeds.

        Raises:
            DataError: the release can't explain its answers.
        """
        return self._why.tell(feeds, rows, top)

    def can_explain(self) -> None:
        """Make ready what explaining needs.

        Raises:
            DataError: the release can't explain its answers.
        """
        _ = self._why

    def feeds(self, columns: Mapping[str, Array], rows: int, where: Where) -> dict[str, NDArray[Any]]:
        """What the graph and rules read, of Arrow columns `types` in snapshot form: treated, and looked up.

        Raises:
            UserCodeError: a function of the user's raised.
        """
        if self._treated:
            done = {n: treat(columns[n], how, self._secret) for n, how in self._treated.items()}
            columns = {**columns, **done}
        kinds = {n: Type.TEXT if n in self._treated else kind for n, kind in self.types.items()}
        feeds = {name: feed(columns[name], kind) for name, kind in kinds.items()}
        if self._filled:
            feeds.update(self._filled.match(columns))
        if self._functions.functions:
            feeds.update(self._functions.compute(feeds, rows, where))
        return feeds

    def _find(
        self, rows: Sequence[Mapping[str, Any]], feeds: Feeds, notes: Notes | None = None
    ) -> dict[str, NDArray[Any]]:
        """Lookups and histories for a request's rows, at each row's moment of prediction; `notes` are told
        what the online store lacks."""
        time = self.serving.time
        moments: list[int | None] = [None] * len(rows)
        if time is not None and time in feeds:
            lead = self.serving.lead_us
            moments = [None if t == NULL_TIME else t - lead for t in feeds[time].tolist()]
        return self._filled.find(lambda name: self._key(name, rows, feeds), moments, notes)

    def _treat(
        self, name: str, how: Treatment, rows: Sequence[Mapping[str, Any]], feeds: Feeds
    ) -> NDArray[Any]:
        """A column of personal data as ingest kept it: hashed or masked text."""
        kind = self.types[name]
        if kind is Type.TIME:
            values = [None if t == NULL_TIME else t for t in feeds[name].tolist()]
        else:
            values = [row.get(name) for row in rows]
        done = np.empty(len(rows), dtype=object)
        told = [treat_one(v, kind, how, self._secret) for v in values]
        done[:] = [NULL_TEXT if t is None else t for t in told]
        return done

    def _key(self, name: str, rows: Sequence[Mapping[str, Any]], feeds: Feeds) -> list[Any]:
        """A key column as Python values. Not from the feeds but for times: a double loses the last digits
        of a long whole number."""
        if name in self._treated:
            return [None if t == NULL_TEXT else t for t in feeds[name].tolist()]
        if self.types[name] is not Type.TIME:
            return [row.get(name) for row in rows]
        return [None if t == NULL_TIME else t for t in feeds[name].tolist()]

    def _labelled(self, outputs: Feeds, rows: int) -> list[dict[str, Any]]:
        """Outputs as one JSON-like object a row: prediction, probability (of the positive class, or by
        class), and the release that gave it.

        Where the release says how sure it is: `lower` and `upper` (null: unbounded), or `set`, the classes
        that it can't rule out; and, where it may abstain, `abstain`, with null for the prediction if so.
        """
        if self.serving.task.kind is Kind.REGRESSION:
            answers = [{"prediction": v, "release": self.release} for v in outputs["prediction"].tolist()]
            for end in ("lower", "upper"):
                if end in outputs:
                    for answer, value in zip(answers, outputs[end].tolist(), strict=True):
                        answer[end] = value if math.isfinite(value) else None
            return answers
        decisions = outputs["decision"].tolist()
        probabilities = outputs["probability"].tolist()
        if self.serving.task.kind is Kind.MULTICLASS:
            probabilities = [dict(zip(self._names, p, strict=True)) for p in probabilities]
        answers = [
            {
                "prediction": self.labels[decisions[i]],
                "probability": probabilities[i],
                "release": self.release,
            }
            for i in range(rows)
        ]
        if "set" in outputs:
            for answer, held in zip(answers, outputs["set"].tolist(), strict=True):
                answer["set"] = [name for name, inside in zip(self.labels, held, strict=True) if inside]
        if "abstain" in outputs:
            for answer, away in zip(answers, outputs["abstain"].tolist(), strict=True):
                answer["abstain"] = away
                if away:
                    answer["prediction"] = None
        return answers


def secret_of(treated: Iterable[Treated], fingerprint: str) -> bytes:
    """The key of this fingerprint, that the release's hashes were made with; empty where nothing is hashed.

    Raises:
        UserError: there is none in the environment, or it is another.
    """
    if not any(t.do == "hash" for t in treated):
        return b""
    key = load_key(os.environ)
    if key.fingerprint != fingerprint:
        raise UserError(
            "the key of hashes is another than the release was made with",
            why=f"its fingerprint is {key.fingerprint}, the release's {fingerprint}: nothing would match",
            fix=f"set {KEY} or {KEY_FILE} to the key of training",
        )
    return key.secret


def _without(row: Mapping[str, Any], unused: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(row, dict) or unused.isdisjoint(row):
        return row
    return {k: v for k, v in row.items() if k not in unused}
