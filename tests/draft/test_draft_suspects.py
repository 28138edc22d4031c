"""What is suspected, why, and by which rows."""

import csv
import random

import numpy as np
import pytest

from headrace.checks.lint.alone import ranks
from headrace.core.spec import parse_spec
from headrace.data.split import TEST, TRAIN, split
from headrace.draft.from_file import draft


def write(path, columns):
    with path.open("w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(columns)
        out.writerows(zip(*columns.values(), strict=True))
    return path


def suspects_of(path, target):
    found = draft(path, target, folder=path.parent)
    return {s.column: s for s in found.suspects}, found


@pytest.fixture
def number_table():
    draw = np.random.default_rng(0)
    y = draw.normal(10, 3, 1000).round(4)
    return {"y": y, "x": draw.normal(size=1000).round(4)}


def test_copies_of_a_quantity(tmp_path, number_table):
    y = number_table["y"]
    draw = np.random.default_rng(1)
    number_table |= {
        "scaled": -3 * y + 1,
        "bent": np.exp(y / 3).round(6),
        "related": (y + draw.normal(0, 1, 1000)).round(4),  # correlation 0.95: a good feature, no copy
        "banded": np.where(y > 10, "high", "low"),
    }
    found, drafted = suspects_of(write(tmp_path / "t.csv", number_table), "y")
    assert {c: s.kind for c, s in found.items()} == {"scaled": "near-copy", "bent": "near-copy"}
    assert "correlation 1.00000 over 700 training rows" in found["scaled"].reason
    assert "rank correlation 1.00000" in found["bent"].reason
    assert list(parse_spec(drafted.text).spec.features) == ["x", "related", "banded"]
    assert f"# - scaled: {found['scaled'].reason}" in drafted.text


def test_copies_of_a_class(tmp_path):
    draw = random.Random(0)
    y = [draw.choice("abc") for _ in range(900)]
    columns = {
        "y": y,
        "renamed": [{"a": "K1", "b": "K2", "c": "K3"}[v] for v in y],
        "filled": [draw.randrange(9) if v == "a" else "" for v in y],  # tells a from the rest, not b from c
        "close": [v if draw.random() < 0.95 else "a" for v in y],  # a copy with errors
        "near": [v if draw.random() < 0.7 else "a" for v in y],
        "x": [draw.random() for _ in y],
    }
    found, _ = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert list(found) == ["renamed", "close"]
    columns["y"] = ["yes" if v == "a" else "no" for v in y]
    columns["score"] = [draw.random() + (1 if v == "a" else 0) for v in y]
    found, _ = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert {c: s.kind for c, s in found.items()} == {
        "renamed": "near-copy", "filled": "near-copy", "close": "near-copy", "score": "near-copy",
    }  # fmt: skip
    assert "whether it is null fixes the class" in found["filled"].reason
    assert "ROC AUC 1.00000" in found["score"].reason


def test_only_training_rows_are_looked_at(tmp_path, number_table):
    """A copy on the sealed test rows alone is not seen; one on the training rows alone is."""
    path = write(tmp_path / "t.csv", number_table)
    parts = split(parse_spec(draft(path, "y", folder=tmp_path).text).spec.split, 1000, seed=0).parts
    y = number_table["y"]
    noise = np.random.default_rng(5).normal(size=1000).round(4)
    number_table["on_train"] = np.where(parts == TRAIN, 2 * y, noise)
    number_table["on_test"] = np.where(parts == TEST, 2 * y, noise)
    number_table["const_on_train"] = np.where(parts == TRAIN, 1.0, noise)
    found, _ = suspects_of(write(path, number_table), "y")
    assert {c: s.kind for c, s in found.items()} == {"on_train": "near-copy", "const_on_train": "constant"}


def test_columns_written_down_with_the_outcome(tmp_path, number_table):
    draw = np.random.default_rng(2)
    unknown = draw.random(1000) < 0.05
    y = [None if u else v for u, v in zip(unknown, number_table["y"], strict=True)]
    with_it = [None if u else v for u, v in zip(unknown, draw.normal(size=1000), strict=True)]
    elsewhere = [
        None if u else v for u, v in zip(draw.random(1000) < 0.05, draw.normal(size=1000), strict=True)
    ]
    columns = {"y": y, "x": number_table["x"], "duration": with_it, "sensor": elsewhere}
    found, _ = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert {c: s.kind for c, s in found.items()} == {"duration": "late"}
    assert "known with the outcome" in found["duration"].reason


def test_capped_columns_stay_with_a_comment(tmp_path):
    draw = np.random.default_rng(3)
    columns = {
        "y": np.minimum(draw.normal(10, 3, 2000).round(2), 14),
        "floor": np.maximum(draw.normal(0, 1, 2000).round(2), -1),
        "counts": draw.poisson(2, 2000),  # begins at 0: no floor
        "free": draw.normal(0, 1, 2000).round(3),
        "grades": draw.integers(1, 6, 2000),  # five values, all common
    }
    found, drafted = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert {c: (s.kind, s.kept) for c, s in found.items()} == {
        "y": ("capped", True), "floor": ("capped", True),
    }  # fmt: skip
    assert "hold its largest value 14, and predictions will not go beyond it either" in found["y"].reason
    assert "hold its smallest value -1" in found["floor"].reason
    assert "floor" in parse_spec(drafted.text).spec.features


def test_ids_counters_and_clocks(tmp_path):
    draw = random.Random(0)
    n = 600
    columns = {
        "y": [draw.choice([0, 1]) for _ in range(n)],
        "order_no": [f"O-{draw.randrange(10**9)}" for _ in range(n)],
        "ticket_id": draw.sample(range(10**6), n),
        "counter": [10 * i + draw.randrange(10) for i in range(n)],
        "ts": [1_700_000_000 + draw.randrange(10**6) for _ in range(n)],
        "shop_id": [draw.randrange(6) for _ in range(n)],
        "amount": [round(draw.uniform(1, 99), 2) for _ in range(n)],
        "zip": [draw.randrange(10000, 10020) for _ in range(n)],
    }
    found, drafted = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert {c: s.kind for c, s in found.items()} == dict.fromkeys(
        ["order_no", "ticket_id", "counter", "ts"], "id-like"
    )
    spec = parse_spec(drafted.text).spec
    assert spec.data.id == "ticket_id"
    features = spec.feature_specs()
    assert list(features) == ["shop_id", "amount", "zip"]
    assert features["shop_id"].kind == features["zip"].kind == "category"


def test_personal_data_is_left_out_and_told(tmp_path):
    draw = random.Random(0)
    n = 300
    digits = "".join
    columns = {
        "y": [draw.choice([0, 1]) for _ in range(n)],
        "contact": [f"user{i}@example.org" for i in range(n)],
        "Customer Name": [f"{draw.choice('ABCDEF')}. Person{i % 60}" for i in range(n)],
        "reached": [f"+49 151 {draw.randrange(1000, 9999)} {draw.randrange(100, 999)}" for _ in range(n)],
        "from": [digits(f"10.0.{draw.randrange(255)}.{draw.randrange(255)}") for _ in range(n)],
        "PhoneService": [draw.choice(["Yes", "No"]) for _ in range(n)],  # two values tell nobody apart
        "x": [draw.random() for _ in range(n)],
    }
    found, drafted = suspects_of(write(tmp_path / "t.csv", columns), "y")
    assert {c: s.kind for c, s in found.items()} == dict.fromkeys(
        ["contact", "Customer Name", "reached", "from"], "personal"
    )
    assert "a person's name" in found["Customer Name"].reason
    assert list(parse_spec(drafted.text).spec.features) == ["phoneservice", "x"]
    for column in ("contact", "Customer Name", "reached", "from"):
        assert parse_spec(drafted.text).spec.data.pii[column] == "drop"


def test_ranks_share_ties():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
