"""Contributions against what they are by definition: Shapley values over the reference rows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.core.task import Feature, FeatureKind, Kind, Task
from headrace.explain.shapley import Answer, Explainer, references
from headrace.graph.encode import Feeds
from headrace.graph.run import Runner
from headrace.learn.candidate import resolve_params
from headrace.learn.model_graph import model_graph
from headrace.learn.registry import load_candidate

EVERY = 10**7
"""Evaluations that allow every subset."""


def numbers(count: int) -> dict[str, Type]:
    return {f"c{i}": Type.NUMBER for i in range(count)}


def draw(types: dict[str, Type], rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.normal(size=rows) for n in types}


def table(feeds: Feeds) -> np.ndarray:
    return np.column_stack(list(feeds.values()))


def by_definition(answer: Answer, row: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Shapley values as the mean over all orders of what each column adds when it comes in."""
    width = len(row)

    def worth(members: frozenset[int]) -> float:
        mixed = reference.copy()
        mixed[:, list(members)] = row[list(members)]
        return float(answer({f"c{j}": mixed[:, j] for j in range(width)}, len(mixed))[:, 0].mean())

    found = np.zeros(width)
    for order in itertools.permutations(range(width)):
        for at, j in enumerate(order):
            found[j] += worth(frozenset(order[: at + 1])) - worth(frozenset(order[:at]))
    return found / math.factorial(width)


def tangled(feeds: Feeds, rows: int) -> np.ndarray:
    """Interactions of two and three columns; what is left over has no say."""
    x = table(feeds)
    said = x[:, 0] * x[:, 1] + x[:, 2] + 2 * (x[:, 0] > 0) * (x[:, 2] > 0) * x[:, 3]
    assert len(said) == rows
    return said[:, None]


def packaged(name: str, kind: Kind, width: int) -> Answer:
    """A learned model's graph: its score of a matrix whose columns are the feeds."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(400, width)).astype(np.float32)
    score = X[:, 0] * X[:, 1] + X[:, 2] + rng.normal(0, 0.3, 400)
    classes = {Kind.BINARY: (False, True), Kind.MULTICLASS: ("a", "b", "c"), Kind.REGRESSION: ()}[kind]
    task = Task(kind, classes)
    y = score if kind is Kind.REGRESSION else np.digitize(score, [-0.5, 0.5] if len(classes) == 3 else [0.0])
    features = tuple(Feature(f"c{i}", FeatureKind.NUMBER) for i in range(width))
    candidate = load_candidate(name)
    params = resolve_params(candidate, task, 400, width, {})
    fitted = candidate.fit(
        X, y.astype(np.float64), features=features, task=task, params=params, seed=0, threads=1
    )
    runner = Runner(model_graph(fitted, task, width, 0.5 if kind is Kind.BINARY else None))
    out = "prediction" if kind is Kind.REGRESSION else "probability"

    def answer(feeds: Feeds, rows: int) -> np.ndarray:
        return runner.run({"features": table(feeds).astype(np.float32)}, rows)[out].reshape(rows, -1)

    return answer


def test_a_linear_answer_is_explained_by_its_coefficients() -> None:
    types = numbers(15)
    weights = np.linspace(-2, 3, 15)
    reference, rows = draw(types, references(15), 1), draw(types, 20, 2)
    explainer = Explainer(lambda feeds, n: (table(feeds) @ weights)[:, None], types, reference)
    assert not explainer.exact
    found = explainer.explain(rows, 20)
    expected = weights * (table(rows) - table(reference).mean(axis=0))
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.errors.max() < 1e-12


@pytest.mark.parametrize("name", ["linear", "tree", "boosting"])
def test_a_small_model_is_explained_as_the_definition_says(name: str) -> None:
    answer, types = packaged(name, Kind.REGRESSION, 4), numbers(4)
    reference, rows = draw(types, 20, 1), draw(types, 3, 2)
    explainer = Explainer(answer, types, reference)
    found = explainer.explain(rows, 3)
    assert explainer.exact and not found.errors.any()
    for i in range(3):
        expected = by_definition(answer, table(rows)[i], table(reference))
        np.testing.assert_allclose(found.values[i], expected, atol=1e-9)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("exact", [True, False])
def test_contributions_add_up_to_the_answer(kind: Kind, exact: bool) -> None:
    answer, types = packaged("boosting", kind, 5), numbers(5)
    reference, rows = draw(types, 12, 1), draw(types, 40, 2)
    explainer = Explainer(answer, types, reference, evaluations=EVERY if exact else 100)
    assert explainer.exact is exact
    found = explainer.explain(rows, 40)
    own = answer(rows, 40)
    of = own.argmax(axis=1)
    base = answer(reference, 12).mean(axis=0)
    np.testing.assert_array_equal(found.of, of)
    np.testing.assert_allclose(found.base, base[of], atol=1e-12)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), own[np.arange(40), of], atol=1e-9)


def test_a_column_without_a_say_gets_nothing_and_equal_ones_the_same() -> None:
    types = numbers(6)
    reference, rows = draw(types, 16, 1), draw(types, 10, 2)
    reference["c1"], rows["c1"] = reference["c0"], rows["c0"]

    def product(feeds: Feeds, rows: int) -> np.ndarray:
        assert rows
        return (feeds["c0"] * feeds["c1"] * feeds["c2"])[:, None]

    found = Explainer(product, types, reference, evaluations=EVERY).explain(rows, 10).values
    np.testing.assert_allclose(found[:, 3:], 0, atol=1e-12)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-12)
    sampled = Explainer(product, types, reference, evaluations=1).explain(rows, 10)
    assert np.abs(sampled.values[:, 3:]).max() < 1e-12 and sampled.errors[:, 3:].max() < 1e-12


def smooth(feeds: Feeds, rows: int) -> np.ndarray:
    """Every column interacts with every other."""
    assert rows
    return np.tanh(table(feeds).sum(axis=1) / 2)[:, None]


@pytest.mark.parametrize(("answer", "covered"), [(smooth, 0.92), (tangled, 0.8)])
def test_the_error_of_sampling_is_as_large_as_it_says(answer: Answer, covered: float) -> None:
    """Right on average; where few of the reference rows matter, an error is itself known less well."""
    types = numbers(9)
    reference, rows = draw(types, 40, 1), draw(types, 120, 2)
    exact = Explainer(answer, types, reference, evaluations=EVERY).explain(rows, 120)
    sampled = Explainer(answer, types, reference).explain(rows, 120)
    assert not exact.errors.any()
    uncertain = sampled.errors > 1e-9
    assert uncertain[:, [0, 2, 3]].mean() > 0.9
    off, error = (sampled.values - exact.values)[uncertain], sampled.errors[uncertain]
    assert np.mean(off**2) == pytest.approx(np.mean(error**2), rel=0.25)
    assert covered < np.mean(np.abs(off) < 2 * error) < 0.985
    assert np.sqrt(np.mean(off**2)) < 0.1 * np.abs(exact.values).max()


def test_the_same_row_is_explained_the_same_wherever_it_stands() -> None:
    types = numbers(12)
    reference, rows = draw(types, 10, 1), draw(types, 30, 2)
    explainer = Explainer(tangled, types, reference, evaluations=500)
    together = explainer.explain(rows, 30)
    alone = explainer.explain({n: v[17:18] for n, v in rows.items()}, 1)
    np.testing.assert_array_equal(alone.values[0], together.values[17])
    np.testing.assert_array_equal(alone.errors[0], together.errors[17])


def test_text_time_and_null_are_put_in_whole() -> None:
    types = {"word": Type.TEXT, "at": Type.TIME, "x": Type.NUMBER}
    words = np.array([NULL_TEXT, "a", "bb"], dtype=object)
    reference = {"word": words, "at": np.array([0, 5, NULL_TIME]), "x": np.array([1.0, np.nan, 3.0])}
    row = {"word": words[:1], "at": np.array([NULL_TIME]), "x": np.array([np.nan])}

    def told(feeds: Feeds, rows: int) -> np.ndarray:
        assert feeds["word"].dtype == object and feeds["at"].dtype == np.int64
        assert set(feeds["word"]) <= {NULL_TEXT, "a", "bb"}
        none = np.array([w == NULL_TEXT for w in feeds["word"]])  # (numpy's == drops a final U+0000)
        null = none + 10 * (feeds["at"] == NULL_TIME) + 100 * np.isnan(feeds["x"])
        return null.astype(np.float64).reshape(rows, 1)

    found = Explainer(told, types, reference).explain(row, 1)
    np.testing.assert_allclose(found.values[0], [1 - 1 / 3, 10 - 10 / 3, 100 - 100 / 3])


def test_one_column_no_column_and_no_rows() -> None:
    one = Explainer(lambda feeds, n: feeds["c0"].reshape(n, 1), numbers(1), {"c0": np.array([1.0, 3.0])})
    assert one.explain({"c0": np.array([7.0])}, 1).values.tolist() == [[5.0]]
    assert one.explain({"c0": np.zeros(0)}, 0).values.shape == (0, 1)
    none = Explainer(lambda feeds, n: np.ones((n, 1)), {}, {})
    found = none.explain({}, 2)
    assert found.values.shape == (2, 0) and found.answer.tolist() == found.base.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("columns", [1, 5, 6, 7, 23, 60, 200])
def test_the_cost_of_a_row_is_bounded(columns: int) -> None:
    types = numbers(columns)
    explainer = Explainer(lambda feeds, n: np.zeros((n, 1)), types, draw(types, references(columns), 1))
    assert explainer.evaluations <= max(4_100, 8 * 4 * columns)
