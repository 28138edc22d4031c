"""Answering rows: typed answers, lookups at the moment of prediction, mistakes named by their field."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serve_releases import LONG_TAIL, Release, make_release, requests

from headrace.core.errors import DataError
from headrace.core.spelled import spelled
from headrace.core.task import Kind, label
from headrace.graph.rows import RowEncoder
from headrace.serve.answer import Answerer

ROW: dict[str, Any] = {
    "distance": 700.5,
    "seats": 180,
    "night": False,
    "carrier": "UA",
    "origin": "JFK",
    "tail": LONG_TAIL,
    "dep": "2013-06-01T05:15:00",
}


def same(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> bool:
    """Equal answers, but for the last bits of a probability (see `Answerer.score`)."""
    return len(some) == len(others) and all(
        a["prediction"] == b["prediction"]
        and type(a["prediction"]) is type(b["prediction"])
        and a["release"] == b["release"]
        and a.get("probability") == pytest.approx(b.get("probability"), rel=0, abs=1e-14)
        for a, b in zip(some, others, strict=True)
    )


def answerer(release: Release) -> Answerer:
    return Answerer(release.store, release.serving, release.name)


def looked_up(answers: Answerer, row: dict[str, Any]) -> dict[str, Any]:
    """What the server adds to a row: a peek at the part between request and graph."""
    feeds = answers._encoder.encode([row])
    return {n: v[0].item() if hasattr(v[0], "item") else v[0] for n, v in answers._find([row], feeds).items()}


def test_binary_answers(binary: Release) -> None:
    answers = answerer(binary).answer(requests(200))
    assert {a["prediction"] for a in answers} == {True, False}
    assert all(a["prediction"] is (a["probability"] >= 0.4) for a in answers)
    assert all(a["release"] == "r7" and list(a) == ["prediction", "probability", "release"] for a in answers)


def test_multiclass_answers(multiclass: Release) -> None:
    for answer in answerer(multiclass).answer(requests(100)):
        by_class = answer["probability"]
        assert list(by_class) == ["early", "on time", 'la"te']
        assert answer["prediction"] == max(by_class, key=by_class.__getitem__)
        assert sum(by_class.values()) == pytest.approx(1)


def test_regression_answers(regression: Release) -> None:
    answers = answerer(regression).answer(requests(20))
    assert all(list(a) == ["prediction", "release"] and type(a["prediction"]) is float for a in answers)
    assert len({a["prediction"] for a in answers}) > 10


def test_whole_numbers_as_classes_have_no_fraction(tmp_path: Path) -> None:
    release = make_release(tmp_path, Kind.BINARY, classes=(0.0, 1.0))
    predictions = [a["prediction"] for a in answerer(release).answer(requests(50))]
    assert set(map(type, predictions)) == {int} and set(predictions) == {0, 1}
    assert [label(c) for c in (1.0, 2.5, True, "1.0")] == [1, 2.5, True, "1.0"]
    assert [spelled(c) for c in (1, 2.5, True, "late")] == ["1", "2.5", "true", "late"]


def test_no_rows_give_no_answers(binary: Release, multiclass: Release, regression: Release) -> None:
    assert [answerer(r).answer([]) for r in (binary, multiclass, regression)] == [[], [], []]


def test_a_lookup_sees_what_was_there_at_the_moment_of_prediction(binary: Release) -> None:
    answers = answerer(binary)
    # Weather of JFK comes every two hours from 18:00 the day before; predictions are made an hour ahead.
    assert looked_up(answers, {**ROW, "dep": "2013-06-01T05:00:00"})["weather.wind"] == 4 * 1.25
    assert looked_up(answers, {**ROW, "dep": "2013-06-01T04:59:59"})["weather.wind"] == 2 * 1.25
    # 05:00 in New York by any offset
    assert looked_up(answers, {**ROW, "dep": "2013-06-01T09:00:00Z"})["weather.wind"] == 4 * 1.25
    late = looked_up(answers, {**ROW, "dep": "2013-06-02T18:00:01"})  # the newest is older than 3 hours
    assert str(late["weather.wind"]) == "nan" and late["weather.sky"] == "\x00"
    early = looked_up(answers, {**ROW, "dep": "2013-05-31T18:59:59"})
    assert early["weather.sky"] == "\x00"


def test_long_whole_numbers_keep_their_digits_as_keys(binary: Release) -> None:
    answers = answerer(binary)
    assert looked_up(answers, {**ROW, "tail": LONG_TAIL - 1})["planes.built"] == 2001
    assert str(looked_up(answers, ROW)["planes.built"]) == "nan"  # null in the table
    assert looked_up(answers, ROW)["planes.leased"] == 1
    assert looked_up(answers, {**ROW, "tail": LONG_TAIL + 1})["planes.built"] == 2012
    assert looked_up(answers, {**ROW, "tail": LONG_TAIL - 2.0**53})["planes.since"] == -(2**63)


def test_unknown_and_null_keys_find_nothing(binary: Release) -> None:
    answers = answerer(binary)
    for row in ({**ROW, "origin": "XXX"}, {**ROW, "origin": None}, {**ROW, "dep": None}):
        assert looked_up(answers, row)["weather.sky"] == "\x00"
    assert len(answers.answer([dict.fromkeys(ROW)])) == 1


def test_columns_that_nothing_reads_may_be_sent(binary: Release) -> None:
    answers = answerer(binary)
    assert answers.answer([{**ROW, "note": ["any", "thing"]}]) == answers.answer([ROW])


def test_every_mistake_is_named(binary: Release) -> None:
    answers = answerer(binary)
    bad = {**ROW, "distance": "far", "night": 1, "carier": "UA", "dep": "yesterday"}
    del bad["carrier"]
    with pytest.raises(DataError) as caught:
        answers.answer([bad])
    assert sorted((p.where, p.what) for p in caught.value.problems) == [
        ("carier", "unknown field"),
        ("carrier", "the field is missing"),
        ("dep", "expected time, found 'yesterday'"),
        ("distance", "expected number, found 'far'"),
        ("night", "expected bool, found 1"),
    ]
    assert "did you mean 'carrier'?" in str(caught.value)
    with pytest.raises(DataError) as caught:
        answers.answer([ROW, 5, {**ROW, "seats": 10**400}])  # type: ignore[list-item]  # the mistake
    assert [(p.where, p.what) for p in caught.value.problems] == [
        ("rows[1]", "a row has to be an object, not a number"),
        ("rows[2].seats", "the number is larger than a double holds"),
    ]


def test_threads_share_an_answerer(binary: Release) -> None:
    answers, rows = answerer(binary), requests(120)
    expected = answers.answer(rows)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda row: answers.answer([row])[0], rows * 3))
    assert same(parts, expected * 3)


def test_a_release_that_reads_no_column(binary: Release) -> None:
    """A constant model: every row gets an answer, and nothing has to be sent."""
    from onnx import TensorProto

    from headrace.graph.build import GraphBuilder

    builder = GraphBuilder()
    builder.output(builder.constant([2.5]), "prediction", TensorProto.DOUBLE, [None])
    serving = replace(
        binary.serving,
        graph=binary.store.put(builder.build()).digest,
        task=replace(binary.serving.task, kind=Kind.REGRESSION, classes=()),
        fields=(),
        lookups=(),
        keys={},
        unused=("note",),
    )
    answers = Answerer(binary.store, serving, "r0")
    answers.warm()
    assert [a["prediction"] for a in answers.answer([{}, {"note": 1}])] == [2.5, 2.5]


def test_rows_out_of_the_ordinary_are_tried_once(binary: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way again only where fields that the release does not read were taken away before."""
    tried: list[int] = []
    quick = RowEncoder.plain

    def plain(self: RowEncoder, rows: Any) -> Any:
        tried.append(len(rows))
        return quick(self, rows)

    answers = Answerer(binary.store, binary.serving, binary.name)
    monkeypatch.setattr(RowEncoder, "plain", plain)
    with pytest.raises(DataError):
        answers.encode([{**ROW, "distance": "far"}])
    assert tried == [1]
    answers.encode([{**ROW, "note": "x"}])
    assert tried == [1, 1, 1]
