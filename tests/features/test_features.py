"""From expressions to the feature matrix: plan, fit, graph, matrix; against plain Python on every row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace.features.fit as fit_module
from headrace.core.codec import from_json
from headrace.core.errors import DataError, SpecError
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING, RARE, UNSEEN, Feature, FeatureKind
from headrace.expr.parse import parse
from headrace.features.compile import feature_graph
from headrace.features.edges import edge_rows
from headrace.features.fit import fit_features
from headrace.features.fitted import Fitted, FittedFeatures
from headrace.features.plan import plan_features, raw_types
from headrace.features.values import text_of, value_of
from headrace.graph.encode import Batch, encode_batch, encode_rows
from headrace.graph.run import Runner

TYPES = {"x": Type.NUMBER, "y": Type.NUMBER, "b": Type.BOOL, "t": Type.TEXT, "w": Type.TIME}
ARROW = pa.schema(
    {
        "x": pa.float64(),
        "y": pa.float64(),
        "b": pa.bool_(),
        "t": pa.string(),
        "w": pa.timestamp("us"),
    }
)
Row = Mapping[str, Any]


def _ratio(r: Row) -> float | None:
    return None if r["x"] is None or not r["y"] else r["x"] / r["y"]


def _hour(r: Row) -> int | None:
    if r["w"] is None:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=r["w"])).hour


REFERENCE: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "ratio": ("x / y", _ratio),
    "plain": ("x", lambda r: r["x"]),
    "flag": ("b", lambda r: r["b"]),
    "big": ("x > 3", lambda r: None if r["x"] is None else r["x"] > 3),
    "hour": ("hour(w)", _hour),
    "two": ("1 + 1", lambda r: 2.0),
    "word": ("t", lambda r: r["t"]),
    "never": ("coalesce(x, 0) is null", lambda r: False),
    "low": ("lower(t)", lambda r: None if r["t"] is None else r["t"].lower()),
    "same": ("'a'", lambda r: "a"),
}


def expressions(**texts: str) -> dict[str, Any]:
    return {n: parse(t, TYPES, zone="UTC") for n, t in texts.items()}


ALL = expressions(**{n: t for n, (t, _) in REFERENCE.items()})


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ARROW)


def _random_rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)

    def maybe(value: Any) -> Any:
        return None if rng.random() < 0.1 else value

    return [
        {
            "x": maybe(float(rng.normal() * 5)),
            "y": maybe(float(rng.integers(0, 3))),
            "b": maybe(bool(rng.random() < 0.5)),
            "t": maybe(str(rng.choice(["A", "a", "b", "c", "", "é"], p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]))),
            "w": maybe(int(rng.integers(-(10**15), 10**15))),
        }
        for _ in range(n)
    ]


def reference(fitted: FittedFeatures, rows: list[dict[str, Any]]) -> np.ndarray:
    """The matrix as a person would compute it, row by row."""
    out = np.full((len(rows), len(fitted.columns)), np.nan, dtype=np.float32)
    for j, column in enumerate(fitted.columns):
        compute = REFERENCE[column.planned.name][1]
        for i, row in enumerate(rows):
            value = compute(row)
            if column.planned.kind is FeatureKind.CATEGORY:
                out[i, j] = _code(column, value)
            elif value is not None:
                with np.errstate(over="ignore"):
                    single = np.float32(value)
                out[i, j] = single if np.isfinite(single) else np.nan
    return out


def _code(column: Fitted, value: Any) -> int:
    if value is None:
        return MISSING
    text = text_of(value)
    if text in column.vocabulary:
        return FIRST_CODE + column.vocabulary.index(text)
    return RARE if text in column.rare else UNSEEN


def matrix_of(fitted: FittedFeatures, rows: pa.Table) -> np.ndarray:
    return matrix(Runner(feature_graph(fitted)), [rows])


def matrix(runner: Runner, parts: Iterable[Batch]) -> np.ndarray:
    """The feature matrix of these batches, as training fills it."""
    done = [outputs["features"] for outputs in runner.run_batches(parts)]
    return np.concatenate([runner.run({}, 0)["features"], *done])


TRAIN = _random_rows(400)
FITTED = fit_features(plan_features(ALL), [table(TRAIN)], min_count=30)


def test_the_matrix_is_what_plain_python_gives() -> None:
    rows = _random_rows(300, seed=1)
    rows += [{**rows[0], "t": t, "x": x} for t in ("never", "aa", "x" * 9999) for x in (1e300, -1e39, 0.0)]
    np.testing.assert_array_equal(matrix_of(FITTED, table(rows)), reference(FITTED, rows))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "y": st.none() | st.sampled_from([0.0, -0.0, 1.0, -2.0, 5e-324]),
            "b": st.none() | st.booleans(),
            "t": st.none() | st.sampled_from(["A", "a", "b", "é", "", "zz", " a"]),
            "w": st.none() | st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
        }
    ),
    max_size=5,
)
PLAIN = FittedFeatures(tuple(c for c in FITTED.columns if c.planned.name not in ("ratio",)))


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_a_request_gives_the_row_that_training_saw(rows: list[dict[str, Any]]) -> None:
    matrix = PLAIN_RUNNER.run(encode_batch(table(rows), TYPES), len(rows))["features"]
    assert matrix.dtype == np.float32 and matrix.shape == (len(rows), len(PLAIN.columns))
    np.testing.assert_array_equal(matrix, reference(PLAIN, rows))
    sent = [{**r, "w": None if r["w"] is None else _iso(r["w"])} for r in rows]
    for i, row in enumerate(sent):
        one = PLAIN_RUNNER.run(encode_rows([row], TYPES, zone="UTC"))["features"]
        np.testing.assert_array_equal(one[0], matrix[i])


def _iso(micro: int) -> str:
    return (datetime(1970, 1, 1) + timedelta(microseconds=micro)).isoformat()


PLAIN_RUNNER = Runner(feature_graph(PLAIN))


def test_the_graph_is_its_features_side_by_side() -> None:
    rows = pa.concat_tables([table(_random_rows(50, seed=2)), edge_rows(TYPES, table(TRAIN))])
    single = [matrix_of(FittedFeatures((c,)), rows) for c in FITTED.columns]
    np.testing.assert_array_equal(np.hstack(single), matrix_of(FITTED, rows))


def test_edge_rows_never_give_infinity_nor_a_null_code() -> None:
    matrix = matrix_of(FITTED, edge_rows(TYPES, table(TRAIN)))
    assert not np.isinf(matrix).any()
    for j, feature in enumerate(FITTED.features):
        if feature.kind is FeatureKind.CATEGORY:
            assert not np.isnan(matrix[:, j]).any()
            assert matrix[:, j].max() < FIRST_CODE + len(feature.vocabulary)


def test_codes_of_known_rare_unseen_missing_and_empty() -> None:
    values = ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + [""] * 2 + ["d"] + [None]
    train = table([{"t": v} for v in values])
    fitted = fit_features(plan_features(expressions(word="t")), [train], min_count=2)
    column = fitted.columns[0]
    assert column.vocabulary == ("c", "a", "b", "")  # by falling count, then by text
    assert column.rare == ("d",)
    assert (column.rows, column.nulls, column.distinct, column.capped) == (15, 1, 5, False)
    ask = table([{"t": v} for v in ["c", "a", "b", "", "d", "e", " c", None]])
    assert matrix_of(fitted, ask)[:, 0].tolist() == [3, 4, 5, 6, RARE, UNSEEN, UNSEEN, MISSING]


def test_beyond_the_most_frequent_is_rare() -> None:
    train = table([{"t": v} for v in "aaabbbccd"])
    fitted = fit_features(plan_features(expressions(word="t")), [train], min_count=1, max_categories=2)
    assert fitted.columns[0].vocabulary == ("a", "b")
    assert fitted.columns[0].rare == ("c", "d")


def test_numbers_and_booleans_as_categories() -> None:
    rows = [{"x": x, "b": b} for x, b in [(1.0, True), (-0.0, True), (0.0, False), (2.5, None), (None, True)]]
    plan = plan_features(expressions(num="x", flag="b"), {"num": "category", "flag": "category"})
    fitted = fit_features(plan, [table(rows)], min_count=1)
    assert [c.vocabulary for c in fitted.columns] == [("0", "1", "2.5"), ("true", "false")]
    ask = table([*rows, {"x": 1e300, "b": None}, {"x": -1.0, "b": False}])
    assert matrix_of(fitted, ask).tolist() == [[4, 3], [3, 3], [3, 4], [5, 0], [0, 3], [1, 0], [1, 4]]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_its_vocabulary(value: float) -> None:
    assert value_of(text_of(value)) == value
    assert value_of(text_of(float(value > 0), is_bool=True), is_bool=True) == float(value > 0)


def test_all_null_columns() -> None:
    rows = table([{"y": 1.0}] * 3)
    plan = plan_features(
        expressions(number="x", word="t", flag="b", numcat="x", y="y"), {"numcat": "category"}
    )
    fitted = fit_features(plan, [rows])
    assert [c.planned.name for c in fitted.columns if c.empty] == ["word", "numcat"]
    seen = matrix_of(fitted, table([{"x": 0.0, "t": "a", "b": True, "y": 2.0}]))
    assert seen.tolist() == [[0.0, UNSEEN, 1.0, UNSEEN, 2.0]]


def test_a_null_typed_column_is_all_null() -> None:
    rows = pa.table({"t": pa.nulls(2), "x": pa.nulls(2)})
    fitted = fit_features(plan_features(expressions(t="t", x="x")), [rows])
    filled = matrix_of(fitted, rows)
    assert filled[:, 0].tolist() == [MISSING, MISSING] and np.isnan(filled[:, 1]).all()


def test_no_rows_at_all() -> None:
    empty = table([])
    fitted = fit_features(plan_features(ALL), [empty])
    assert matrix_of(fitted, empty).shape == (0, len(ALL))
    assert not any(c.empty for c in fitted.columns)
    word = [f.name for f in fitted.features].index("word")
    assert matrix_of(fitted, table([{"t": "a"}]))[0, word] == UNSEEN


def test_constants_alone_give_every_row() -> None:
    fitted = fit_features(plan_features(expressions(two="1 + 1", same="'a'")), [table(TRAIN)])
    runner = Runner(feature_graph(fitted))
    assert runner.inputs == {}
    assert matrix(runner, [table(TRAIN[:3])]).tolist() == [[2, 3]] * 3
    assert runner.run({}, 1)["features"].tolist() == [[2, 3]]
    assert fitted.columns[1].rows == len(TRAIN)


def test_counting_in_parts_is_counting_at_once() -> None:
    rows = table(TRAIN)
    parts = [rows.slice(0, 150), encode_batch(rows.slice(150, 1), TYPES), rows.slice(151)]
    assert fit_features(plan_features(ALL), parts, min_count=30) == FITTED
    runner = Runner(feature_graph(FITTED), threads=2)
    np.testing.assert_array_equal(matrix(runner, parts), matrix(runner, [rows]))


def test_identifiers_are_capped_and_frequent_values_keep_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_module, "KEPT", 10)
    parts = [table([{"t": f"id{i}"}] * 1 + [{"t": "often"}]) for i in range(40)]
    fitted = fit_features(plan_features(expressions(word="t")), parts, min_count=20)
    column = fitted.columns[0]
    assert column.vocabulary == ("often",)
    assert column.capped and len(column.rare) == 9
    again = fit_features(plan_features(expressions(word="t")), parts, min_count=20)
    assert again == fitted


def test_the_graph_records_its_features() -> None:
    runner = Runner(feature_graph(FITTED))
    assert from_json(runner.metadata["features"].encode(), tuple[Feature, ...]) == FITTED.features
    assert [f.expression for f in FITTED.features] == [t for t, _ in REFERENCE.values()]
    assert FITTED.types == TYPES == dict(sorted(runner.inputs.items()))


def test_the_graph_is_deterministic() -> None:
    assert feature_graph(FITTED) == feature_graph(FITTED)


def test_raw_columns_named_like_tensors() -> None:
    names = {"c_1": Type.NUMBER, "add_2": Type.NUMBER, "~c_1": Type.NUMBER, "cast_3": Type.NUMBER}
    exprs = {n: parse(f'"{n}" + 1', names, zone="UTC") for n in names}
    fitted = fit_features(plan_features(exprs), [])
    rows = pa.table({n: [float(i)] for i, n in enumerate(names)})
    assert matrix_of(fitted, rows).tolist() == [[1, 2, 3, 4]]


def test_equal_features_stay_two_columns() -> None:
    fitted = fit_features(plan_features(expressions(a="t", b="t")), [table([{"t": "u"}])], min_count=1)
    assert matrix_of(fitted, table([{"t": "u"}, {}])).tolist() == [[3, 3], [0, 0]]


def test_null_text_is_not_empty_text() -> None:
    fitted = fit_features(plan_features(expressions(word="t")), [table([{"t": ""}] * 3)], min_count=1)
    feeds = {"t": np.array([NULL_TEXT, ""], dtype=object)}
    assert Runner(feature_graph(fitted)).run(feeds)["features"].tolist() == [[MISSING], [FIRST_CODE]]


def test_plan_refuses_what_no_matrix_can_hold() -> None:
    bad = {
        **expressions(when="w", word="t", fine="x"),
        "f": parse("features + 1", {"features": Type.NUMBER}, zone="UTC"),
    }
    with pytest.raises(SpecError) as caught:
        plan_features(bad, {"word": "number", "fine": "ordinal", "fien": "number"})
    problems = {p.where: p for p in caught.value.problems}
    assert problems["when"].what == "feature 'when' is a time"
    assert problems["when"].why.startswith("time never travels as raw seconds")
    assert "hour(t)" in problems["when"].fix
    assert problems["word"].what == "feature 'word' is text, not a number"
    assert "cast(x as double)" in problems["word"].fix
    assert problems["fine"].what == "feature 'fine' has an unknown kind 'ordinal'"
    assert problems["fien"].fix.startswith("did you mean 'fine'")
    assert problems["features"].what == "a raw column is called 'features'"
    assert len(problems) == 5
    with pytest.raises(SpecError, match="there are no features"):
        plan_features({})


def test_plan_kinds_and_raw_types() -> None:
    plan = plan_features(expressions(a="x", b="b", c="t", d="b"), {"d": "number", "a": None})
    assert [p.kind for p in plan] == [
        FeatureKind.NUMBER,
        FeatureKind.BOOL,
        FeatureKind.CATEGORY,
        FeatureKind.NUMBER,
    ]
    assert raw_types(plan) == {"b": Type.BOOL, "t": Type.TEXT, "x": Type.NUMBER}


def test_a_missing_training_column_is_named() -> None:
    with pytest.raises(DataError, match="t: the column is missing"):
        fit_features(plan_features(expressions(word="t")), [pa.table({"x": [1.0]})])


def test_numbers_alone_read_no_rows() -> None:
    def explode() -> Any:
        raise AssertionError("rows were read")
        yield

    fitted = fit_features(plan_features(expressions(x="x")), explode())
    assert fitted.columns[0].rows == 0 and math.isnan(matrix_of(fitted, table([{}]))[0, 0])
