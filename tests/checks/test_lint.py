"""Each kind of finding on cases of its own, with the honest neighbour that must not be flagged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.checks.lint import Column, Dataset, Severity, Unlabelled, lint
from headrace.checks.lint.alone import Alone, auc, ranks
from headrace.checks.lint.skew import holm, tail
from headrace.core.schema import NULL_TIME, Type
from headrace.core.task import Kind, Task

DAY = 86_400_000_000
YES_NO = Task(Kind.BINARY, ("no", "yes"))
NUMBER = Task(Kind.REGRESSION)


def number(name: str, values: Any) -> Column:
    return Column(name, Type.NUMBER, np.asarray(values, dtype=np.float64))


def text(name: str, values: Any) -> Column:
    return Column.of_text(name, np.asarray(values, dtype=object))


def world(task: Task, y: Any, *features: Column, **more: Any) -> Dataset:
    """Three quarters train, one quarter validation, dealt at random; every feature reads itself."""
    n = len(y)
    train = np.random.default_rng(99).permutation(n) % 4 > 0
    given: dict[str, Any] = {
        "train": train,
        "units": np.arange(n),
        "raw": features,
        "reads": {f.name: (f.name,) for f in features},
    }
    return Dataset(task, np.asarray(y, dtype=np.float64), features=features, **(given | more))


def found(data: Dataset) -> dict[tuple[str, str], Severity]:
    return {(f.kind, f.subject): f.severity for f in lint(data)}


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(5)


def honest(draw: np.random.Generator, n: int = 1200) -> tuple[np.ndarray, list[Column]]:
    """A quantity and four features with something to say about it."""
    X = draw.normal(size=(n, 3))
    kind = draw.choice(["a", "b", "c"], n)
    y = X @ [2.0, 1.0, 0.5] + (kind == "a") + draw.normal(size=n)
    return y, [*(number(f"x{i}", X[:, i]) for i in range(3)), text("kind", kind)]


def test_an_honest_table_has_no_findings(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    assert lint(world(NUMBER, y, *features)) == ()
    assert lint(world(YES_NO, y > 0, *features)) == ()
    classes = Task(Kind.MULTICLASS, ("a", "b", "c"))
    assert lint(world(classes, np.digitize(y, [-1, 1]), *features)) == ()


@pytest.mark.parametrize("shape", ["scaled", "bent", "noisy"])
def test_copies_of_a_quantity(draw: np.random.Generator, shape: str) -> None:
    y, features = honest(draw)
    leak = {"scaled": 3 - 2 * y, "bent": np.exp(y), "noisy": y + 0.05 * draw.normal(size=len(y))}[shape]
    assert found(world(NUMBER, y, *features, number("leak", leak))) == {
        ("target-copy", "leak"): Severity.BLOCKS
    }


def test_copies_of_classes(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    three = np.digitize(y, [-1, 1])
    classes = Task(Kind.MULTICLASS, ("a", "b", "c"))
    renamed = np.array(["K9", "K7", "K8"], dtype=object)[three]
    wrong = draw.random(len(y)) < 0.04
    renamed[wrong] = "K7"
    assert found(world(classes, three, *features, text("leak", renamed))) == {
        ("target-copy", "leak"): Severity.BLOCKS
    }
    filled = np.where(y > 0, draw.normal(size=len(y)), np.nan)  # only written down when it happened
    assert ("target-copy", "leak") in found(world(YES_NO, y > 0, *features, number("leak", filled)))


def test_a_feature_better_than_all_others_together(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    late = number("leak", np.where(draw.random(len(y)) < 0.97, y > 0, draw.random(len(y)) < 0.5) * 50.0
                  + draw.normal(size=len(y)) * 14)  # fmt: skip
    kinds = found(world(YES_NO, y > 0, *features[1:], late))
    assert {k for k, s in kinds if s == "leak"} & {"too-good", "target-copy"}
    assert found(world(YES_NO, y > 0, *features)) == {}


def test_empty_exactly_where_the_target_is(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    data = world(NUMBER, y, *features)
    blank = Unlabelled(60, {"x0": 60, "x1": 3})
    assert found(replace(data, unlabelled=blank)) == {("known-later", "x0"): Severity.BLOCKS}
    x0 = features[0].values.copy()
    x0[:100] = np.nan  # empty elsewhere too: missing for reasons of its own
    again = world(NUMBER, y, number("x0", x0), *features[1:], unlabelled=blank)
    assert found(again) == {}


def test_declared_later_and_times_behind_the_prediction(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    times = np.arange(len(y)) * DAY // 20
    arrived = Column("arrived", Type.TIME, times + draw.integers(1, DAY, len(y)))
    seen = Column("seen", Type.TIME, times - draw.integers(1, DAY, len(y)))
    data = world(
        NUMBER, y, *features, raw=(arrived, seen), reads={"x0": ("arrived",), "x1": ("seen",)},
        times=times, moments=times - DAY // 24, split="time", train=np.arange(len(y)) < 900,
    )  # fmt: skip
    assert found(data) == {("known-later", "x0"): Severity.WARNS}
    assert found(replace(data, later={"arrived": "declared"})) == {("known-later", "x0"): Severity.BLOCKS}


def test_what_is_made_of_later_targets(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    times = np.arange(len(y)) * DAY // 20
    ahead = np.convolve(y, np.ones(3) / 3, "full")[2 : 2 + len(y)]  # this row's and the next two's
    behind = np.convolve(y, np.ones(3) / 3, "full")[: len(y)]
    behind = np.concatenate([[0.0], behind[:-1]])  # the three before this row: what a history may know
    split = {"times": times, "split": "time", "train": np.arange(len(y)) < 900, "units": times // DAY}
    leaky = world(NUMBER, y, *features, number("next", ahead), **split)
    assert list(found(leaky)) == [("known-later", "next")]
    assert found(world(NUMBER, y, *features, number("past", behind), **split)) == {}


def test_means_of_the_target_that_know_its_noise(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    cell = draw.integers(0, 150, len(y))
    truth = draw.normal(size=150)[cell]
    y = y + truth
    mean = (np.bincount(cell, y) / np.maximum(np.bincount(cell), 1))[cell]
    assert found(world(NUMBER, y, *features, number("mean", mean))) == {
        ("known-later", "mean"): Severity.BLOCKS
    }
    assert found(world(NUMBER, y, *features, number("truth", truth))) == {}


def test_identical_rows_more_than_chance(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    data = world(NUMBER, y, *features)
    train, other = np.flatnonzero(data.train), np.flatnonzero(~data.train)
    take = np.arange(len(y))
    take[other[:30]] = train[:30]
    copied = replace(data, y=data.y[take], features=tuple(f.at(take) for f in features))
    assert found(copied) == {("crossing-rows", ""): Severity.BLOCKS}
    finding = lint(copied)[0]
    assert finding.evidence["validation rows with a twin"] == 30
    coarse = [number(f"c{i}", draw.integers(0, 4, len(y))) for i in range(3)]  # 64 cells: equal by chance
    rough = np.round(coarse[0].values + draw.normal(size=len(y)))
    assert found(world(NUMBER, rough, *coarse)) == {}


def test_groups_on_both_sides_also_under_another_spelling(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    names = np.array([f"Shop {i // 10}" for i in range(len(y))], dtype=object)
    train = np.arange(len(y)) < 900
    apart = world(NUMBER, y, *features, split="group", train=train, group=text("shop", names),
                  units=np.arange(len(y)) // 10)  # fmt: skip
    assert found(apart) == {}
    other = names.copy()
    other[950:1000] = "shop 007"
    crossed = replace(apart, group=text("shop", other))
    assert found(crossed) == {("group-overlap", ""): Severity.BLOCKS}
    assert "but for spelling" in lint(crossed)[0].what


def test_time_that_the_split_does_not_keep(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    times = np.arange(len(y)) * DAY // 20
    train = np.arange(len(y)) < 900
    split = {"times": times, "split": "time", "units": times // DAY}
    assert found(world(NUMBER, y, *features, train=train, **split)) == {}
    shuffled = train.copy()
    shuffled[[10, 1100]] = shuffled[[1100, 10]]
    assert found(world(NUMBER, y, *features, train=shuffled, **split)) == {
        ("time-shuffled", ""): Severity.BLOCKS
    }
    moving = y + 3 * np.sin(np.arange(len(y)) / 200)
    assert found(world(NUMBER, moving, *features, times=times)) == {("random-over-time", ""): Severity.WARNS}
    assert found(world(NUMBER, y, *features, times=times)) == {}


def test_identifiers(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    n = len(y)
    ids = {
        "counter": number("counter", np.cumsum(draw.integers(1, 9, n))),
        "key": number("key", 5000 + draw.permutation(2 * n)[:n]),
        "token": text("token", [f"t{v}" for v in draw.permutation(10**6)[:n]]),
        "customer_id": number("customer_id", draw.permutation(np.unique(draw.integers(0, 10**8, 2 * n)))[:n]),
    }
    for name, column in ids.items():
        assert found(world(NUMBER, y, *features, column)) == {("id", name): Severity.BLOCKS}, name
    income = number("income", np.round(np.exp(draw.normal(10, 1, n))))
    assert found(world(NUMBER, y, *features, income)) == {}


def test_a_capped_target_and_one_that_is_not(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    assert found(world(NUMBER, np.minimum(y, np.quantile(y, 0.96)), *features)) == {
        ("capped-target", ""): Severity.WARNS
    }
    counts = draw.poisson(np.exp(0.4 * y))
    assert found(world(NUMBER, counts, *features)) == {}


def test_a_category_with_one_row(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    kinds = np.array(["a", "b", "c"], dtype=object)[np.arange(len(y)) % 3]
    kinds[17] = "A "
    assert found(world(NUMBER, y, *features[:3], text("kind", kinds))) == {
        ("rare-category", "kind"): Severity.WARNS
    }


def test_skew_counts_units_not_rows(draw: np.random.Generator) -> None:
    """The same shift is told where rows are independent, and not where 20 days carry all of it."""
    y, features = honest(draw)
    train = np.arange(len(y)) < 900
    shifted = features[0].values + np.where(train, 0, 0.5)
    columns = [number("x0", shifted), *features[1:]]
    assert found(world(NUMBER, y, *columns, train=train)) == {("skew", "x0"): Severity.WARNS}
    days = np.arange(len(y)) // 60
    moving = features[0].values * 0.2 + draw.normal(size=20)[days]
    columns = [number("x0", moving), *features[1:]]
    assert found(world(NUMBER, y, *columns, train=train, units=days)) == {}
    assert ("skew", "x0") in found(world(NUMBER, y, *columns, train=train))


def test_large_tables_do_not_make_trifles_findings(draw: np.random.Generator) -> None:
    n = 60_000
    x, train = draw.normal(size=n), np.arange(n) % 4 > 0
    data = world(NUMBER, x + draw.normal(size=n), number("x", x + np.where(train, 0, 0.05)), train=train)
    assert found(data) == {}


def test_skew_is_rarely_found_where_there_is_none() -> None:
    """Level 1% a table: of 60 clean tables of dependent rows hardly any is flagged."""
    flagged = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        days = np.repeat(np.arange(40), 15)
        X = draw.normal(size=(600, 4)) + draw.normal(size=(40, 4))[days]
        train = days < 30
        data = world(NUMBER, draw.normal(size=600), *(number(f"x{i}", X[:, i]) for i in range(4)),
                     train=train, units=days)  # fmt: skip
        flagged += any(f.kind == "skew" for f in lint(data))
    assert flagged <= 4  # binomial(60, 0.01) exceeds 4 one time in 3,000


def test_accuracy_on_rare_positives(draw: np.random.Generator) -> None:
    y, features = honest(draw)
    rare = y > np.quantile(y, 0.97)
    assert found(world(YES_NO, rare, *features, metric="accuracy")) == {("imbalance", ""): Severity.BLOCKS}
    assert found(world(YES_NO, rare, *features, metric="f1")) == {}
    assert found(world(YES_NO, y > 0, *features, metric="accuracy")) == {}


def test_odd_tables_are_looked_at_without_complaint(draw: np.random.Generator) -> None:
    y, _ = honest(draw, 40)
    null = Column("null", Type.NUMBER, np.full(40, np.nan))
    empty = text("empty", [None] * 40)
    same = number("same", np.ones(40))
    assert lint(world(NUMBER, y, null, empty, same)) == ()
    assert lint(world(NUMBER, y[:3], same.at(np.arange(3)))) == ()
    assert lint(world(YES_NO, np.zeros(40), null, same)) == ()
    none = np.array([], dtype=np.float64)
    assert lint(world(NUMBER, none, number("x", none))) == ()
    times = np.full(40, NULL_TIME)
    assert lint(world(NUMBER, y, same, times=times, moments=times, split="time")) == ()
    with pytest.raises(ValueError, match="not as long as y"):
        world(NUMBER, y, number("x", [1.0]))


def test_scores_agree_with_scikit_learn(draw: np.random.Generator) -> None:
    from sklearn.metrics import roc_auc_score

    y, x = draw.random(500) < 0.3, np.round(draw.normal(size=500), 1)
    assert auc(x, y) == pytest.approx(roc_auc_score(y, x))
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_a_useless_feature_scores_nothing(draw: np.random.Generator) -> None:
    data = world(NUMBER, draw.normal(size=2000), number("x", draw.normal(size=2000)))
    assert Alone(data.fit).scores["x"].value < 0.02
    data = world(YES_NO, draw.random(2000) < 0.2, text("x", draw.integers(0, 50, 2000).astype(str)))
    assert abs(Alone(data.fit).scores["x"].value - 0.5) < 0.06


def test_corrections() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    null = np.random.default_rng(0).gumbel(size=499)
    assert tail(8.0, null) == pytest.approx(1 - np.exp(-np.exp(-8.0)), rel=0.9)
    assert tail(float(np.quantile(null, 0.9)), null) == pytest.approx(0.1, abs=0.01)


def test_a_number_read_out_of_text_is_no_name_of_rows(draw: np.random.Generator) -> None:
    """A measurement with a `?` among its values is text in the file, and different in every row."""
    y, features = honest(draw)
    size = np.exp(draw.normal(size=len(y)))
    raw = text("size", [f"{v:.9f}" for v in size])
    reads = {f.name: (f.name,) for f in features} | {"size": ("size",)}
    data = world(NUMBER, y, *features, number("size", size), raw=(*features, raw), reads=reads)
    assert found(data) == {}
