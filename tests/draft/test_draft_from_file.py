"""A drafted spec runs unedited: it parses, checks, and what it expects holds in its own file."""

import csv
import datetime as dt
import json
import random
import re

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn import datasets

from headrace.core.errors import DataError, UserError
from headrace.core.spec import parse_spec
from headrace.core.sql import quoted
from headrace.draft.from_file import draft, write_draft
from headrace.draft.look import look_at
from headrace.engine.check import check


def write(path, columns):
    with path.open("w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(columns)
        out.writerows(zip(*columns.values(), strict=True))
    return path


def drafted(file, target, folder):
    """Write the draft, check it, and evaluate its expectations on the file. Returns spec and text."""
    write_draft(file, target, folder)
    text = (folder / "headrace.yaml").read_text(encoding="utf-8")
    parsed = parse_spec(text)
    check(parsed, folder)
    table = next(iter(parsed.spec.data.tables.values()))
    with look_at(file, decimal=table.decimal, nulls=table.nulls) as look:
        broken = [e for e in parsed.spec.data.expect if not holds(look.db, e)]
    assert broken == []
    assert max(len(line) for line in text.splitlines()) <= 120 or "'" in text
    return parsed.spec, text


def holds(db, text):
    """An expectation on `rows`, evaluated without headrace's own reading of it."""
    if match := re.fullmatch(r"unique\((.+)\)", text):
        sql = f"select count({match[1]}) = count(distinct {match[1]}) from rows"
    elif match := re.fullmatch(r"null_share\((.+)\) (<=|==) (.+)", text):
        sql = f"select avg(({match[1]} is null)::int) {match[2]} {match[3]} from rows"
    else:
        sql = f"select coalesce(bool_and({text}), true) from rows"
    return db.execute(sql).fetchall() == [(True,)]


def spoiled(bunch, draw, *, target="target", names=None):
    """A scikit-learn data set as columns of text with missing values and slips of the pen."""
    columns = {}
    for i, name in enumerate(bunch.feature_names):
        values = [f"{v:g}" for v in bunch.data[:, i]]
        for row in draw.sample(range(len(values)), len(values) // 25):
            values[row] = draw.choice(["", "?"]) if i == 0 else ""
        columns[str(name)] = values
    labels = bunch.target.tolist()
    columns[target] = [names[v] for v in labels] if names else labels
    return columns


def test_breast_cancer(tmp_path):
    bunch = datasets.load_breast_cancer()
    columns = spoiled(bunch, random.Random(0), target="diagnosis", names=list(bunch.target_names))
    columns["diagnosis"][3] = "Malignant"  # a slip: a class of one row
    spec, text = drafted(write(tmp_path / "cancer.csv", columns), "diagnosis", tmp_path / "p")
    assert (spec.problem.task, spec.problem.metric, spec.problem.positive) == ("binary", "f1", "malignant")
    assert spec.split.by == "stratified"
    assert spec.features["mean_radius"] == '"mean radius"'
    assert "other spellings of a class count as it: 'Malignant'" in text
    assert spec.data.tables["cancer"].nulls == ("?",)
    assert len(spec.features) == 30
    assert spec.data.tables["cancer"].read == "data/cancer.csv"


def test_diabetes(tmp_path):
    columns = spoiled(datasets.load_diabetes(), random.Random(0), target="progression")
    spec, _ = drafted(write(tmp_path / "diabetes.csv", columns), "progression", tmp_path / "p")
    assert (spec.problem.task, spec.problem.metric, spec.split.by) == ("regression", "rmse", "random")


def test_iris(tmp_path):
    bunch = datasets.load_iris()
    columns = spoiled(bunch, random.Random(0), target="species", names=list(bunch.target_names))
    spec, _ = drafted(write(tmp_path / "iris.csv", columns), "species", tmp_path / "p")
    assert (spec.problem.task, spec.problem.metric, spec.split.by) == ("multiclass", "f1_macro", "stratified")
    columns["species"] = bunch.target.tolist()
    _, text = drafted(write(tmp_path / "iris2.csv", columns), "species", tmp_path / "q")
    assert "task: multiclass                     # species is whole numbers with only 3 values" in text
    assert "if the numbers are amounts or grades: `task: regression`" in text


def test_housing(tmp_path, housing):
    spec, text = drafted(housing, "median_house_value", tmp_path / "p")
    assert spec.problem.task == "regression"
    assert len(spec.features) == 9
    assert "null_share(total_bedrooms) <= 0.03" in spec.data.expect
    found = {
        s.column: (s.kind, s.kept) for s in draft(housing, "median_house_value", folder=tmp_path).suspects
    }
    assert found == {"housing_median_age": ("capped", True), "median_house_value": ("capped", True)}
    assert "its largest value 500001" in text and "its largest value 52" in text


def nasty(rows=400):
    draw = random.Random(1)
    y = [draw.choice(["yes", "no", "no"]) for _ in range(rows)]
    return {
        "Row ID": list(range(1, rows + 1)),
        "my col": [round(draw.gauss(v == "yes", 1), 3) for v in y],
        "order": [draw.randrange(5) for _ in y],
        "größe": [draw.choice(["1.5", "2", "3.25", "?", "4", "n/a"]) for _ in y],
        "價格": [draw.random() for _ in y],
        'a"b': [draw.choice(["x", "y", "Y"]) for _ in y],
        "it's": [draw.choice(["it's", 'say "hi"', "a, b: c", "#1"]) for _ in y],
        "select": [draw.choice(["true", "false"]) for _ in y],
        "my_col": [draw.random() for _ in y],
        "x.y": [draw.random() for _ in y],
        "const": ["k"] * rows,
        "empty": [""] * rows,
        "leak": [{"yes": "A", "no": "B"}[v] for v in y],
        "mail": [f"u{i}@example.org" for i in range(rows)],
        "remark": [" ".join(draw.choices(["lorem", "ipsum", "dolor", "1", "2"], k=12)) for _ in y],
        'churned: "y/n" #1': [v if draw.random() > 0.02 else "" for v in y],
    }


def test_odd_names_and_bad_columns(tmp_path):
    spec, text = drafted(write(tmp_path / "nästy file.csv", nasty()), 'churned: "y/n" #1', tmp_path / "p")
    assert spec.project == "nasty-file" and spec.data.events == "nasty_file"
    assert spec.problem.target == '"churned: ""y/n"" #1"' and spec.problem.positive == "yes"
    assert spec.data.id == "Row ID"
    assert spec.features == {
        "my_col": '"my col"',
        "order": '"order"',
        "grosse": '"größe"',
        "column_5": '"價格"',
        "a_b": '"a""b"',
        "it_s": '"it\'s"',
        "select": '"select"',
        "my_col_2": "my_col",
    }
    for reason in (
        '"x.y": expressions can\'t name it',
        "const: has the value 'k' in every training row",
        "empty: empty in every training row",
        "leak: near-copy of the target",
        "mail: personal data",
        "remark: ",
    ):
        assert f"# - {reason}" in text


def events(days, *, groups=None, rows=1200):
    draw = random.Random(2)
    start = dt.datetime(2024, 1, 1)
    at = sorted(start + dt.timedelta(minutes=draw.randrange(days * 1440)) for _ in range(rows))
    columns = {
        "booked": [(t - dt.timedelta(days=draw.randrange(1, 30))).isoformat(" ") for t in at],
        "closed_at": [(t + dt.timedelta(hours=draw.randrange(1, 99))).isoformat(" ") for t in at],
        "seen_at": [t.isoformat(" ") for t in at],
        "amount": [round(draw.uniform(1, 100), 2) for _ in at],
        "late": [draw.random() < 0.3 for _ in at],
    }
    if groups:
        columns["customer_id"] = [f"C{draw.randrange(groups)}" for _ in at]
    return columns


def test_a_time_splits_by_time(tmp_path):
    spec, text = drafted(write(tmp_path / "trips.csv", events(400)), "late", tmp_path / "p")
    assert (spec.data.time, spec.data.zone, spec.split.by) == ("seen_at", "UTC", "time")
    assert spec.problem.positive is True
    assert spec.features == {
        "booked_days_before_seen_at": "date_diff('day', booked, seen_at)",
        "seen_at_hour": "hour(seen_at)",
        "seen_at_weekday": "dayofweek(seen_at)",
        "amount": "amount",
    }
    assert "# - closed_at: later than seen_at in 100% of the training rows" in text
    assert "null_share(seen_at) == 0" in spec.data.expect


def test_too_few_days_and_a_repeated_customer_split_by_group(tmp_path):
    spec, text = drafted(write(tmp_path / "trips.csv", events(9, groups=150)), "late", tmp_path / "p")
    assert (spec.split.by, spec.split.group) == ("group", "customer_id")
    assert "not by time: seen_at holds 9 days" in text
    assert "customer_id" not in spec.features


def test_a_class_that_stops_in_time_is_not_split_by_time(tmp_path):
    columns = events(400)
    columns["late"] = [i % 3 == 0 if i < 600 else False for i in range(1200)]
    spec, text = drafted(write(tmp_path / "trips.csv", columns), "late", tmp_path / "p")
    assert spec.split.by == "stratified"
    assert "not by time: validation would hold no row of class True" in text


def test_every_kind_of_file_gives_the_same_draft(tmp_path):
    columns = {k: v for k, v in events(400).items() if k in ("seen_at", "amount", "late")}
    columns["amount"][5] = None
    source = write(tmp_path / "t.csv", columns)
    table = pa.csv.read_csv(source)
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text(
        "\n".join(
            json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)
        )
    )
    (tmp_path / "t.tsv").write_text(source.read_text().replace(",", "\t"))
    specs = []
    for ending in ("csv", "parquet", "jsonl", "tsv"):
        spec, _ = drafted(tmp_path / f"t.{ending}", "late", tmp_path / ending)
        plain = spec.plain()
        assert plain["data"]["tables"]["t"]["read"] == f"data/t.{ending}"
        del plain["data"]["tables"]
        specs.append(plain)
    assert specs[1:] == specs[:1] * 3


def test_a_file_inside_the_folder_is_named_where_it_is(tmp_path):
    (tmp_path / "raw").mkdir()
    file = write(tmp_path / "raw" / "t.csv", events(400))
    written = write_draft(file, "late", tmp_path)
    assert written == (tmp_path / "headrace.yaml",)
    assert parse_spec(written[0].read_text()).spec.data.tables["t"].read == "raw/t.csv"
    with pytest.raises(UserError, match="there is a project here already"):
        write_draft(file, "late", tmp_path)


def test_another_file_of_the_name_is_not_overwritten(tmp_path):
    file = write(tmp_path / "t.csv", events(400))
    (tmp_path / "p" / "data").mkdir(parents=True)
    (tmp_path / "p" / "data" / "t.csv").write_text("mine")
    with pytest.raises(UserError, match="another file of this name is here already"):
        write_draft(file, "late", tmp_path / "p")
    assert (tmp_path / "p" / "data" / "t.csv").read_text() == "mine"
    assert not (tmp_path / "p" / "headrace.yaml").exists()


X = list(range(0, 900, 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a"] * 300, "has one value in all of its 300 rows"),
        ([""] * 300, "is empty in every row"),
        ([f"n{i}" for i in range(300)], "different in every row: it names rows"),
        (list(range(300)), "different in every row: it names rows"),
        ([f"w{i % 120}" for i in range(300)], "text with 120 different values in 300 rows"),
        (["a"] * 296 + ["b"] * 4, "too few rows of all but one class: 'a' 296, 'b' 4"),
        ([f"2024-01-{1 + i % 28:02d}" for i in range(300)], "is a time"),
    ],
)
def test_targets_that_nobody_can_learn(tmp_path, values, message):
    file = write(tmp_path / "t.csv", {"x": [f"{v % 7}.5" for v in X], "y": values})
    with pytest.raises(DataError, match=message) as raised:
        write_draft(file, "y", tmp_path / "p")
    assert raised.value.exit_code == 2
    assert not (tmp_path / "p").exists()


def test_wrong_columns_and_files(tmp_path):
    file = write(tmp_path / "t.csv", {"amount": X, "late": [i % 2 for i in range(300)]})
    with pytest.raises(UserError, match=r"no column 'latte'(.|\n)*did you mean 'late'"):
        draft(file, "latte", folder=tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        draft(tmp_path / "absent.csv", "y", folder=tmp_path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="empty"):
        draft(tmp_path / "empty.csv", "y", folder=tmp_path)
    (tmp_path / "header.csv").write_text("x,y\n")
    with pytest.raises(DataError, match="no rows"):
        draft(tmp_path / "header.csv", "y", folder=tmp_path)
    alone = write(tmp_path / "alone.csv", {"k": ["v"] * 300, "y": [i % 2 for i in range(300)]})
    with pytest.raises(DataError, match=r"no column of alone\.csv can be a feature"):
        draft(alone, "y", folder=tmp_path)
    dotted = write(tmp_path / "dotted.csv", {"x": X, "a.y": [i % 2 for i in range(300)]})
    with pytest.raises(DataError, match="can't be written in an expression"):
        draft(dotted, "a.y", folder=tmp_path)


def test_drafts_are_the_same_every_time(tmp_path):
    file = write(tmp_path / "t.csv", nasty())
    first, second = (draft(file, 'churned: "y/n" #1', folder=tmp_path) for _ in range(2))
    assert first == second


def test_quoted_is_right_in_duckdb(tmp_path):
    file = write(tmp_path / "t.csv", nasty())
    with look_at(file) as look:
        assert len(look.values('a"b')) == 400
        assert look.db.sql(f"select count({quoted('價格')}) from rows").fetchall() == [(400,)]
