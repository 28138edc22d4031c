"""Neighbours: the same rows found by a tree, by brute force and in the graph; what is told of them; that no
row is told by itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.core.spec.features import Neighbours
from headrace.core.task import MISSING, Task
from headrace.expr import parse
from headrace.features.neighbours import encoder as room
from headrace.features.neighbours.asked import words
from headrace.features.neighbours.encoder import NeighboursEncoder, asked_of
from headrace.features.neighbours.grid import Grid
from headrace.features.neighbours.search import emit_nearest, nearest, nearest_others
from headrace.graph.build import GraphBuilder
from headrace.graph.run import Runner
from tests.encoders import BINARY, REGRESSION, THREE, check_agreement, evaluated, fit, through_graph

TYPES = dict.fromkeys(("x", "y", "a", "b"), Type.NUMBER)
EVERY = ("mean", "weighted", "min", "max", "std", "linear", "difference", "distance")


def near(**asked: object) -> NeighboursEncoder:
    declared = Neighbours.model_validate_json(json.dumps({"of": ["x", "y"], **asked}))
    texts = dict.fromkeys((*declared.of, *declared.columns))
    return NeighboursEncoder("near", {t: parse(t, TYPES) for t in texts}, asked_of(declared))


def table(n: int = 300, seed: int = 0, digits: int = 1) -> dict[str, np.ndarray]:
    """Rows that often lie at one place, or equally far; a few without a place; inputs with nulls."""
    rng = np.random.default_rng(seed)
    x, y = np.round(rng.normal(size=(2, n)), digits)
    x[rng.random(n) < 0.03] = np.nan
    a, b = rng.normal(size=(2, n)) * [[1.0], [1e4]]
    b[rng.random(n) < 0.3] = np.nan
    return {"x": x, "y": y, "a": a, "b": b}


EDGES = {
    "x": np.array([0.1, np.nan, np.inf, 1e300, -1e300, 5e-324, 0.0, -0.0]),
    "y": np.array([np.nan, 0.2, 0.1, -1e300, 0.3, 1e-45, 0.0, 0.0]),
    "a": np.array([0.1, np.nan, np.inf, 1e300, np.nan, 5e-324, 0.0, -1e300]),
    "b": np.array([np.nan, np.nan, 1.0, 1e39, -1e300, 0.0, 1.0, 2.0]),
}


def target(task: Task, n: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, len(task.classes), n).astype(float) if task.classes else rng.normal(size=n) * 1e5


@pytest.mark.parametrize("task", [REGRESSION, BINARY, THREE], ids=["value", "two", "three"])
@pytest.mark.parametrize("scale", [None, True])
def test_offline_and_graph_agree_to_the_last_bit(task: Task, scale: bool | None) -> None:
    encoder = near(
        k=[3, 8, 20], stats=EVERY, columns=["a", "b"], bandwidth=[0.1, 1.0], clusters=4, scale=scale
    )
    check_agreement(encoder, table(), target(task, 300), task, EDGES)


def test_a_row_alone_gets_the_bits_that_it_gets_among_many() -> None:
    rows = table()
    encoder = near(k=[5, 30], stats=EVERY, columns=["a", "b"], bandwidth=0.5, clusters=3)
    fitted = fit(encoder, rows, target(REGRESSION, 300), REGRESSION)
    many = through_graph(encoder, fitted, rows)
    for i in range(0, 300, 17):
        one = through_graph(encoder, fitted, {n: v[i : i + 1] for n, v in rows.items()})
        np.testing.assert_array_equal(one[0], many[i])


@pytest.mark.parametrize("kind", ["tied", "spread", "one place", "line"])
def test_tree_brute_force_and_graph_find_the_same_rows_in_the_same_order(kind: str) -> None:
    rng = np.random.default_rng(3)
    points = {
        "tied": rng.integers(-3, 4, (400, 2)),
        "spread": rng.integers(-(2**22), 2**22, (400, 3)),
        "one place": np.full((400, 2), 7),
        "line": np.stack([np.arange(400) % 200, np.zeros(400)], axis=1),
    }[kind].astype(float)
    places = np.concatenate([points[:60], rng.permutation(points)[:60] + 1.0])
    far = ((places[:, None, :] - points[None]) ** 2).sum(axis=2)
    for k in (1, 2, 7, 60, 400):
        expected = np.argsort(far, axis=1, kind="stable")[:, :k]
        found = nearest(points, places, k)
        np.testing.assert_array_equal(found.index, expected)
        np.testing.assert_array_equal(found.apart, np.take_along_axis(far, expected, 1))
        g = GraphBuilder()
        given = g.matrix_input("places", points.shape[1], TensorProto.DOUBLE)
        index, apart = emit_nearest(g, points, given, k)
        g.output(index, "index", TensorProto.INT64, [None, k])
        g.output(apart, "apart", TensorProto.DOUBLE, [None, k])
        told = Runner(g.build()).run({"places": places})
        np.testing.assert_array_equal(told["index"], expected)
        np.testing.assert_array_equal(told["apart"], found.apart)


def test_a_row_is_left_out_by_what_it_is_not_by_where_it_lies() -> None:
    rng = np.random.default_rng(4)
    points = rng.integers(0, 4, (200, 2)).astype(float)
    units = np.arange(200)
    far = ((points[:, None, :] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(far, np.inf)
    expected = np.argsort(far, axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(nearest_others(points, units, points, units, 9).index, expected)


def test_rows_of_one_unit_are_left_out_together() -> None:
    rng = np.random.default_rng(5)
    points, units = rng.integers(-20, 20, (200, 2)).astype(float), rng.integers(0, 30, 200)
    far = ((points[:, None, :] - points[None]) ** 2).sum(axis=2)
    far[units[:, None] == units[None]] = np.inf
    expected = np.argsort(far, axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(nearest_others(points, units, points, units, 9).index, expected)


def test_statistics_are_those_of_numpy() -> None:
    rows, y = table(digits=3), target(REGRESSION, 300)
    rows["x"] = np.nan_to_num(rows["x"])
    encoder = near(k=[4, 9], stats=EVERY[:5] + EVERY[6:], columns=["a", "b"], bandwidth=[0.5], scale=False)
    told = fit(encoder, rows, y, REGRESSION)
    own = dict(zip([f.name for f in told.features], told.own().T, strict=True))
    far = np.hypot(rows["x"][:, None] - rows["x"], rows["y"][:, None] - rows["y"])
    np.fill_diagonal(far, np.inf)
    order = np.argsort(np.round(far, 9), axis=1, kind="stable")
    for k in (4, 9):
        index = order[:, :k]
        apart = np.take_along_axis(far, index, 1)
        truth, b = y[index], rows["b"][index]
        soft = np.median(np.sort(far, axis=1)[:, 2])
        weight = 1 / (apart + soft)
        expected = {
            f"mean_{k}": truth.mean(axis=1),
            f"weighted_{k}": (truth * weight).sum(axis=1) / weight.sum(axis=1),
            f"min_{k}": truth.min(axis=1),
            f"max_{k}": truth.max(axis=1),
            f"std_{k}": truth.std(axis=1),
            f"distance_{k}": apart[:, -1],
            f"a_difference_{k}": rows["a"] - rows["a"][index].mean(axis=1),
        }
        count = (~np.isnan(b)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            expected[f"b_mean_{k}"] = np.nansum(b, axis=1) / count
            spread = np.nansum((b - expected[f"b_mean_{k}"][:, None]) ** 2, axis=1) / count
        expected[f"b_std_{k}"] = np.sqrt(spread)
        expected[f"b_min_{k}"] = np.where(count > 0, np.nanmin(np.where(np.isnan(b), np.inf, b), 1), np.nan)
        for name, values in expected.items():
            np.testing.assert_allclose(own[f"near_{name}"], values, rtol=1e-5, atol=1e-5, err_msg=name)
    index = order[:, :9]
    bell = np.maximum(0.0, 1 - np.take_along_axis(far, index, 1) ** 2 / (16 * 0.25)) ** 8
    with np.errstate(invalid="ignore"):
        kernel = (y[index] * bell).sum(axis=1) / bell.sum(axis=1)
    assert 0 < np.isnan(kernel).sum() < 10  # alone, farther than four widths from every other
    np.testing.assert_allclose(own["near_kernel_0.5"], kernel, rtol=1e-4)


def test_the_line_is_a_ridge_on_standardised_columns() -> None:
    rng = np.random.default_rng(6)
    rows = {n: rng.normal(size=200) for n in ("x", "y", "a")}
    y = 3.0 * rows["a"] + rng.normal(size=200)
    encoder = near(k=[40], stats=["linear"], columns=["a"], scale=False)
    told = fit(encoder, rows, y, REGRESSION).own()[:, 0]
    full = np.stack([rows[n] for n in ("x", "y", "a")], axis=1)
    full = np.clip((full - full.mean(axis=0)) / full.std(axis=0), -5, 5)
    far = np.hypot(rows["x"][:, None] - rows["x"], rows["y"][:, None] - rows["y"])
    np.fill_diagonal(far, np.inf)
    order = np.argsort(far, axis=1, kind="stable")
    soft = np.median(np.sort(far, axis=1)[:, 2])
    # 200 rows: no more than 200 / 8 are asked
    for i in range(0, 200, 23):
        mine = order[i, :25]
        weight = 1 / (far[i, mine] + soft)
        weight /= weight.sum()
        middle, level = weight @ full[mine], weight @ y[mine]
        off = full[mine] - middle
        slopes = np.linalg.solve(
            (off * weight[:, None]).T @ off + 0.1 * np.eye(3), off.T @ (weight * (y[mine] - level))
        )
        assert told[i] == pytest.approx(level + slopes @ (full[i] - middle), rel=1e-4, abs=1e-5)


def test_null_place_is_null_everywhere() -> None:
    rows = table()
    encoder = near(k=3, columns=["a"], clusters=3)
    fitted = fit(encoder, rows, target(REGRESSION, 300), REGRESSION)
    nulls = np.isnan(rows["x"])
    assert nulls.any()
    for told in (fitted.own(), fitted.values(evaluated(encoder, rows))):
        assert np.isnan(told[nulls, :-1]).all()
        assert (told[nulls, -1] == MISSING).all()
        assert not np.isnan(told[~nulls]).any()
        assert (told[~nulls, -1] != MISSING).all()


@pytest.mark.parametrize("n", [0, 1, 2, 5, 20])
def test_fewer_rows_than_neighbours(n: int) -> None:
    rows = {name: values[:n] for name, values in table(seed=2).items()}
    rows["x"] = np.nan_to_num(rows["x"])
    encoder = near(k=[3, 50], stats=EVERY, columns=["a", "b"], bandwidth=1.0, clusters=3)
    fitted = fit(encoder, rows, target(REGRESSION, n), REGRESSION)
    assert fitted.own().shape == (n, len(fitted.features))
    told = fitted.values(evaluated(encoder, EDGES))
    np.testing.assert_array_equal(told, through_graph(encoder, fitted, EDGES))
    mean = [f.name for f in fitted.features].index("near_mean_3")
    assert bool(np.isnan(told[4, mean])) == (n < 2)


@pytest.mark.parametrize("scale", [False, True])
def test_constant_columns(scale: bool) -> None:
    rows = {n: np.full(80, 2.5) for n in ("x", "y", "a", "b")}
    encoder = near(k=[3, 8], stats=EVERY, columns=["a", "b"], bandwidth=1.0, clusters=3, scale=scale)
    check_agreement(encoder, rows, target(REGRESSION, 80), REGRESSION, EDGES)
    fitted = fit(encoder, rows, target(REGRESSION, 80), REGRESSION)
    names = [f.name for f in fitted.features]
    assert (fitted.own()[:, names.index("near_a_std_8")] == 0).all()
    assert (fitted.own()[:, names.index("near_distance_8")] == 0).all()


def test_all_null_inputs() -> None:
    rows = {n: np.full(30, np.nan) for n in ("x", "y", "a", "b")}
    encoder = near(k=3, stats=EVERY, columns=["a", "b"], clusters=2)
    fitted = fit(encoder, rows, target(REGRESSION, 30), REGRESSION)
    assert np.isnan(fitted.own()[:, :-1]).all()
    np.testing.assert_array_equal(
        fitted.values(evaluated(encoder, EDGES)), through_graph(encoder, fitted, EDGES)
    )


NOISE = near(k=[3, 10, 40], stats=["mean", "weighted", "linear"], bandwidth=0.3, columns=["a"])
TOLD = [i for i, f in enumerate(NOISE.asked.features("near", REGRESSION)) if "_a_" not in f.name]


def noise(seed: int, n: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows, and a target that has nothing to do with them."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=n).round(1) for name in ("x", "y", "a", "b")}, rng.normal(size=n)


def test_a_target_of_noise_is_not_told_by_the_other_rows() -> None:
    """Over many worlds no column leans towards its row's own target, or away from it."""
    own, itself = [], []
    for seed in range(60):
        rows, y = noise(seed)
        fitted = fit(NOISE, rows, y, REGRESSION)
        told = (fitted.own(), fitted.values(evaluated(NOISE, rows)))
        for found, columns in zip((own, itself), told, strict=True):
            found.append([np.nanmean(np.where(np.isnan(c), np.nan, c) * y) / np.nanstd(c) for c in columns.T])
    leans = np.array(own)[:, TOLD]
    error = leans.std(axis=0, ddof=1) / np.sqrt(len(leans))
    assert (np.abs(leans.mean(axis=0)) < 3.5 * error).all()
    assert (np.array(itself)[:, TOLD].mean(axis=0) > 8 * error).all()  # with themselves in, rows tell


def test_a_model_on_a_target_of_noise_is_no_better_out_of_fold_than_the_mean() -> None:
    """Refitted in every fold, as learning does; squared errors against those of the mean."""
    better = []
    for seed in range(8):
        rows, y = noise(seed)
        part = np.random.default_rng(seed).permutation(400) % 4
        for k in range(4):
            mine = {n: v[part != k] for n, v in rows.items()}
            theirs = {n: v[part == k] for n, v in rows.items()}
            fitted = fit(NOISE, mine, y[part != k], REGRESSION)
            design = np.nan_to_num(fitted.own()[:, TOLD].astype(float))
            full = np.column_stack([np.ones(len(design)), design])
            slopes = np.linalg.lstsq(full, y[part != k], rcond=None)[0]
            told = np.nan_to_num(fitted.values(evaluated(NOISE, theirs))[:, TOLD].astype(float))
            guess = np.column_stack([np.ones(len(told)), told]) @ slopes
            truth = y[part == k]
            better.append(np.mean((truth - y[part != k].mean()) ** 2) - np.mean((truth - guess) ** 2))
    assert np.mean(better) < 0


def test_no_more_than_an_eighth_of_the_rows_is_asked_for_a_target() -> None:
    rows = {n: np.arange(40.0) for n in ("x", "y")}
    y = target(REGRESSION, 40)
    told = fit(near(k=39), rows, y, REGRESSION).own()[:, 0]
    assert abs(np.corrcoef(told, y)[0, 1]) < 0.9  # of all 39 others it would be -1
    plain = fit(near(k=39, target=False, columns=["x"]), rows, y, REGRESSION).own()[:, 0]
    np.testing.assert_allclose(plain, (rows["x"].sum() - rows["x"]) / 39, rtol=1e-6)


def test_a_target_that_is_not_asked_for_is_not_looked_at() -> None:
    encoder, rows = near(k=3, target=False, columns=["a"], clusters=3), table()
    assert not encoder.supervised
    one = fit(encoder, rows, target(REGRESSION, 300), REGRESSION).own()
    other = fit(encoder, rows, target(REGRESSION, 300, seed=9), REGRESSION).own()
    np.testing.assert_array_equal(one, other)


def test_points_are_drawn_where_asked() -> None:
    rows, y = table(), target(REGRESSION, 300)
    encoder = near(k=3, points=100)
    fitted = fit(encoder, rows, y, REGRESSION)
    assert len(fitted.points) == 100
    own, told = fitted.own(), fitted.values(evaluated(encoder, rows))
    same = (own == told).all(axis=1)
    assert 100 < same.sum() < 300  # rows that are no points have nothing to leave out
    check_agreement(encoder, rows, y, REGRESSION, EDGES)


def test_more_points_than_a_graph_holds_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_POINTS", 200)
    with pytest.raises(DataError) as caught:
        fit(near(k=3), table(), target(REGRESSION, 300), REGRESSION)
    assert caught.value.problems[0].where == "features.near"
    assert "points: 200" in caught.value.problems[0].fix
    fit(near(clusters=3, target=False, stats=[]), table(), target(REGRESSION, 300), REGRESSION)


def test_coordinates_are_not_scaled_unless_asked() -> None:
    assert not near(of=["x", "y"]).asked.scale
    assert near(of=["x", "a"]).asked.scale
    assert near(of=["x", "y * 2"]).asked.scale
    assert near(of=["x", "y"], scale=True).asked.scale
    assert not near(of=["x", "a"], scale=False).asked.scale


def test_decimal_coordinates_tie_where_they_are_equally_far() -> None:
    """0.1 + 0.2 is not 0.3 in doubles; on the grid it is."""
    x = np.array([0.1, 0.3, 0.5, 5.0])
    grid = Grid.fit([x], scale=False)
    found = nearest(grid.place([x]), grid.place([np.array([0.2, 0.4])]), 2)
    assert found.index.tolist() == [[0, 1], [1, 2]]
    assert (found.apart[:, 0] == found.apart[:, 1]).all()


def test_names_of_columns_differ() -> None:
    columns = ("a / b", "a * b", "a_b", "(a)", "*", "a")
    assert len({*words(columns)}) == len(columns)
