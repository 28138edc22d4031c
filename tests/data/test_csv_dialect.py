"""CSV files with decimal commas and spellings of nothing: read the same by ingest and by scoring."""

import csv

import pytest
from worlds import wine

from headrace.core.errors import DataError, SpecError
from headrace.core.schema import Type
from headrace.core.spec.tables import TableSpec
from headrace.data.read import describe
from headrace.project import Project
from headrace.serve.files import open_source


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def kinds(tmp_path, text, **settings):
    write(tmp_path / "t.csv", text)
    columns = describe("t", TableSpec(read="t.csv", **settings), root=tmp_path, zone="UTC")
    return {c.name: c.type for c in columns}


def test_decimal_commas_and_spellings_of_nothing_make_columns_numbers(tmp_path):
    text = "a;b;c\n1,5;?;x\n-2,25;3;y\n7;k.A.;?\n"
    assert set(kinds(tmp_path, text).values()) == {Type.TEXT}
    found = kinds(tmp_path, text, decimal=",", nulls=("?", "k.A."))
    assert found == {"a": Type.NUMBER, "b": Type.NUMBER, "c": Type.TEXT}


def test_a_point_is_no_decimal_comma(tmp_path):
    assert kinds(tmp_path, "a;b\n1.5;2,5\n2.5;3,5\n", decimal=",") == {"a": Type.TEXT, "b": Type.NUMBER}


def test_other_files_have_no_dialect(tmp_path):
    write(tmp_path / "t.jsonl", '{"a": 1}\n')
    for settings in ({"decimal": ","}, {"nulls": ("?",)}):
        with pytest.raises(DataError, match=r"no CSV file: `decimal:` and `nulls:` have no meaning"):
            describe("t", TableSpec(read="t.jsonl", **settings), root=tmp_path, zone="UTC")


def scored(path, **settings):
    types = {"a": Type.NUMBER, "b": Type.NUMBER, "c": Type.TEXT}
    opened = open_source(path, types, zone="UTC", keys=frozenset(), **settings)
    chunks = list(opened.chunks())
    cells = {n: [v for c in chunks for v in c.columns[n].to_pylist()] for n in types}
    return cells, {at: why for c in chunks for at, why in c.bad.items()}


def test_scoring_reads_them_as_ingest_does(tmp_path):
    path = write(tmp_path / "new.csv", "a;b;c\n1,5;?;x\n1.5;3;y\n7;k.A.;?\n")
    cells, bad = scored(path, decimal=",", nulls=("?", "k.A."))
    assert cells == {"a": [1.5, None, 7.0], "b": [None, 3.0, None], "c": ["x", "y", None]}
    assert list(bad) == [1]
    assert "'1.5' is no number" in bad[1][0], "the value is told as the file has it"


def test_a_later_value_that_breaks_the_column_names_the_setting(tmp_path):
    rows = "".join(f"{i},5;1\n" for i in range(30_000))
    write(tmp_path / "data.csv", f"a;b\n{rows}k.A.;2\n")
    spec = TableSpec(read="data.csv", decimal=",")
    from headrace.data.read import open_source as open_raw
    from headrace.data.read import resolve

    raw = open_raw(resolve(spec, root=tmp_path), table=spec, spool=None)
    with pytest.raises(DataError, match=r"'k\.A\.', and numbers before") as raised:
        list(raw.batches())
    assert "nulls:" in raised.value.problems[0].fix
    assert raised.value.problems[0].where == "data.csv:30002"


def as_german(path, to):
    with path.open(newline="") as f, to.open("w", newline="") as g:
        header, *rows = csv.reader(f)
        out = csv.writer(g, delimiter=";")
        out.writerow(header)
        for i, row in enumerate(rows):
            out.writerow(
                [
                    "k.A." if (i + j) % 40 == 3 and 0 < j < 14 else v.replace(".", ",")
                    for j, v in enumerate(row)
                ]
            )


def test_the_release_remembers_how_its_files_are_written(tmp_path):
    project = wine(tmp_path / "p", {"models": ["tree"]})
    as_german(project.root / "data" / "wine.csv", project.root / "data" / "german.csv")
    table = {"read": "data/german.csv", "decimal": ",", "nulls": ["k.A."]}
    german = wine(tmp_path / "p", {"models": ["tree"], "data": {"tables": {"wine": table}}})
    assert german.run().status == "released"
    done = german.predict(german.root / "data" / "german.csv", tmp_path / "scored.csv")
    assert (done.rows, done.rejected) == (178, 0)
    with (tmp_path / "scored.csv").open() as f:
        predictions = [row["prediction"] for row in csv.DictReader(f)]
    with (german.root / "data" / "german.csv").open() as f:
        true = [row["kind"] for row in csv.DictReader(f, delimiter=";")]
    assert sum(p == t for p, t in zip(predictions, true, strict=True)) > 140
    assert Project(german.root).predict(german.root / "data" / "wine.csv", tmp_path / "x.csv").rejected > 100


def test_the_spec_refuses_another_decimal(tmp_path):
    project = wine(tmp_path / "p", {"data": {"tables": {"wine": {"read": "data/wine.csv", "decimal": ";"}}}})
    with pytest.raises(SpecError, match="decimal"):
        project.check()
