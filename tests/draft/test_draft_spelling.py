"""Drafts of messy tables: decimal commas, spellings of nothing, odd dates, copies, caps, slips of the pen."""

import csv
import datetime as dt
import random

import pytest

from headrace.core.spec import parse_spec
from headrace.draft.from_file import write_draft
from headrace.draft.look import look_at
from headrace.draft.spelling import Dialect, dialect_of, sentinel
from headrace.engine.check import check
from headrace.project import Project


def write(path, header, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, delimiter=delimiter)
        out.writerow(header)
        out.writerows(rows)
    return path


def drafted(file, target, folder):
    write_draft(file, target, folder)
    text = (folder / "headrace.yaml").read_text(encoding="utf-8")
    parsed = parse_spec(text)
    check(parsed, folder)
    return parsed.spec, text


def comma(value):
    return f"{value:.2f}".replace(".", ",")


def customers(rows=900):
    """A table as a spreadsheet in German saves it."""
    draw = random.Random(7)
    start = dt.date(2023, 1, 2)
    table = []
    for i in range(rows):
        day = start + dt.timedelta(days=i * 500 // rows)
        plan = draw.choice(["Basic", "Plus", "Pro"])
        income = min(6000.0, draw.lognormvariate(8, 0.7))
        calls = draw.randrange(8)
        left = draw.random() < 0.1 + 0.08 * calls
        table.append(
            [
                f"K{100_000 + i}",
                f"user{draw.randrange(10**6)}@example.org",
                day.strftime("%d.%m.%Y") if i % 90 else draw.choice([day.strftime("%d.%m.%y"), "unbekannt"]),
                draw.choice([plan.lower(), f" {plan}", plan.upper()]) if i % 50 == 7 else plan,
                "k.A." if i % 20 == 3 else comma(income),
                comma(draw.gauss(40, 15)),
                calls,
                "Yes" if left else "No",
            ]
        )
    table += [list(table[i]) for i in range(5, 205, 10)]
    return table


HEADER = ["Kunden-Nr", "E-Mail", "Beginn", "Tarif", "Einkommen", "Umsatz (€)", "Anrufe", "Weg"]


def test_a_spreadsheet_in_german(tmp_path):
    file = write(tmp_path / "kunden.csv", HEADER, customers(), ";")
    spec, text = drafted(file, "Weg", tmp_path / "p")
    table = spec.data.tables["kunden"]
    assert (table.decimal, table.nulls) == (",", ("k.A.", "unbekannt"))
    assert spec.features["einkommen"] == "Einkommen"
    assert spec.features["umsatz"] == '"Umsatz (€)"'
    assert spec.features["beginn_month"] == "month(Beginn)"
    assert spec.data.pii["E-Mail"] == "drop"
    clean = spec.clean.columns
    assert (clean["Beginn"].parse, clean["Beginn"].trim) == ("%d.%m.%Y", True)
    assert (clean["Tarif"].trim, clean["Tarif"].case) == (True, "lower")
    assert clean["Einkommen"].cap == 6000
    assert (spec.split.by, spec.split.group) == ("group", "Kunden-Nr")
    assert spec.clean.rows.duplicates is True
    assert "20 rows are copies of others" in text
    assert "are written otherwise" in text


def test_the_draft_of_a_messy_table_runs_and_scores_such_a_table(tmp_path):
    file = write(tmp_path / "kunden.csv", HEADER, customers(), ";")
    drafted(file, "Weg", tmp_path / "p")
    project = Project(tmp_path / "p", actor="me@example.com")
    result = project.run()
    assert result.status == "released", result.problems
    assert result.plain()["findings"] == []
    done = project.predict(file, tmp_path / "scored.csv")
    assert (done.rows, done.rejected) == (920, 0)


@pytest.mark.parametrize(
    ("rows", "delimiter", "wanted"),
    [
        ([["1,5", "a"], ["2,25", "b"]] * 20, ";", Dialect(",", ())),
        ([["1,500", "a"], ["2,250", "b"]] * 20, ";", Dialect()),  # thousands, perhaps
        ([["1,5", "0.5"], ["2,25", "1.5"]] * 20, ";", Dialect()),  # points stand in the file too
        ([["1.5", "?"], ["?", "x"]] * 20, ",", Dialect(".", ("?",))),
        ([["1.5", "none"], ["none", "x"]] * 20, ",", Dialect()),  # a category of the other column
        ([["1.5", "a"], ["oops", "b"]] + [["2.5", "a"]] * 20, ",", Dialect()),  # a slip, not a custom
    ],
)
def test_dialects(tmp_path, rows, delimiter, wanted):
    with look_at(write(tmp_path / "t.csv", ["x", "y"], rows, delimiter)) as look:
        assert dialect_of(look) == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.5, 2.5, -999, -999], (-999.0, 2)),
        ([-1.5, 2.5, -999, -999], None),  # others are negative too
        ([1.5, 2.5, 9999, 9999], (9999.0, 2)),
        ([1.5, 8000.0, 9999, 9999], None),  # a cap, or chance
        ([1.5, 2.5, -999], None),
    ],
)
def test_numbers_that_stand_for_missing(tmp_path, values, wanted):
    with look_at(write(tmp_path / "t.csv", ["x", "y"], [[v, 1] for v in values])) as look:
        assert sentinel(look, "x") == wanted


def test_classes_under_several_spellings_are_one(tmp_path):
    draw = random.Random(3)
    rows = [[draw.gauss(i % 2, 1), ["benign", "malignant"][i % 2]] for i in range(300)]
    for i, spelled in ((0, "Benign"), (2, "benign "), (1, "MALIGNANT"), (3, "")):
        rows[i][1] = spelled
    rows += [[0.5, "unclear"]] * 3
    spec, text = drafted(write(tmp_path / "t.csv", ["x", "y"], rows), "y", tmp_path / "p")
    assert spec.problem.target == (
        "case when y in ('Benign', 'benign', 'benign ') then 'benign' "
        "when y in ('MALIGNANT', 'malignant') then 'malignant' end"
    )
    assert spec.problem.positive == "malignant"
    assert "left out: classes with fewer than 10 rows ('unclear' 3)" in text
    assert "4 rows have none" in text


def test_a_word_one_letter_away_is_told_and_left(tmp_path):
    draw = random.Random(3)
    rows = [[draw.choice(["north", "south", "west"]), i % 7, draw.random() < 0.4] for i in range(600)]
    rows[5][0] = "nroth"
    spec, text = drafted(write(tmp_path / "t.csv", ["region", "n", "y"], rows), "y", tmp_path / "p")
    assert "'nroth' may be 'north': mend it in the file" in text
    assert spec.features["region"] == "region"
