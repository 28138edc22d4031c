"""Labels: sent twice, late, corrected, by id or by inputs; what was known when."""

import itertools
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from written import write

from headrace.core.errors import DataError
from headrace.core.task import Kind, Task
from headrace.logs.compact import compact
from headrace.logs.label_files import batches
from headrace.logs.label_tables import label_tables
from headrace.logs.labels import LabelBook
from headrace.logs.match import Matched, match
from headrace.logs.query import query
from headrace.serve.labelled import as_truth
from headrace.testing.log_exam import answered

START = datetime(2026, 1, 1, tzinfo=UTC)


def minutes() -> Iterator[datetime]:
    return (START + timedelta(minutes=i) for i in itertools.count())


@pytest.fixture
def book(tmp_path: Path) -> LabelBook:
    clock = minutes()
    return LabelBook(tmp_path, clock=lambda: next(clock))


def newest(folder: Path, book: LabelBook, until: datetime | None = None) -> dict[str, Any]:
    moment = None if until is None else int(until.timestamp() * 1e6)
    table = label_tables(book.labels(until=moment))
    told = query(folder, "SELECT id, label FROM answered WHERE labelled IS NOT NULL ORDER BY id", table)
    return {str(int(i, 16)): value for i, value in told.rows}


def test_late_twice_and_corrected(tmp_path: Path, book: LabelBook) -> None:
    write(tmp_path, [answered(i) for i in range(5)])
    one, two = answered(1).id, answered(2).id
    assert book.take([{"id": one, "label": 1.5}, {"id": two, "label": 2}]).plain() == {
        "new": 2,
        "corrected": 0,
        "known": 0,
        "waiting": 0,
        "refused": 0,
    }
    again = book.take([{"id": one, "label": 1.5}, {"id": two, "label": 2.5}])
    assert (again.new, again.corrected, again.known) == (0, 1, 1)
    back = book.take({"id": two, "label": 2})
    assert back.corrected == 1
    assert newest(tmp_path, book) == {"1": 1.5, "2": 2.0}
    assert newest(tmp_path, book, START + timedelta(minutes=1)) == {"1": 1.5, "2": 2.5}
    assert newest(tmp_path, book, START) == {"1": 1.5, "2": 2.0}
    assert newest(tmp_path, book, START - timedelta(minutes=1)) == {}
    assert [label.value for label in book.labels() if label.id == two] == [2, 2.5, 2]
    assert book.take({"id": two, "label": None}).corrected == 1
    assert newest(tmp_path, book) == {"1": 1.5, "2": None}


def test_by_inputs(tmp_path: Path, book: LabelBook) -> None:
    when = "2026-01-15T20:00:00Z"
    sent = [{"customer": f"c{i}", "n": i, "yes": i % 2 == 0, "at": when, "x": i / 2} for i in range(6)]
    entries = [answered(i, inputs=inputs) for i, inputs in enumerate(sent)]
    write(tmp_path, [*entries[:3], answered(9, inputs=sent[2], of=entries[2].id, arm="shadow")])
    compact(tmp_path)
    write(tmp_path, [*entries[3:], answered(7, inputs=sent[5])])
    taken = book.take(
        [
            {"input_customer": "c1", "label": True},
            {"input_n": 2, "input_at": when, "label": False},
            {"input_n": "3.0", "input_yes": "false", "input_at": "2026-01-15 20:00:00", "label": True},
            {"input_customer": "nobody", "label": True},
            {"input_customer": "c5", "label": True},
            {"input_unheard": 1, "label": True},
            {"input_customer": None, "label": True},
        ]
    )
    assert (taken.new, taken.waiting, taken.refused) == (7, 7, 0)
    assert match(tmp_path, book) == Matched(matched=3, unknown=3, ambiguous=1)
    assert newest(tmp_path, book) == {"1": True, "2": False, "3": True, "9": False}  # the shadow has it too
    assert match(tmp_path, book) == Matched(unknown=3, ambiguous=1)
    write(tmp_path, [answered(20, inputs={"customer": "nobody"})], "late")
    assert match(tmp_path, book).matched == 1
    # A correction by inputs knows the prediction; one by id is about the same.
    assert book.take({"input_customer": "c1", "label": False}).plain()["waiting"] == 0
    assert newest(tmp_path, book)["1"] is False
    assert book.take({"id": entries[1].id, "label": False}).known == 1
    assert book.take({"id": entries[1].id, "label": True}).corrected == 1
    assert book.take({"input_customer": "c1", "label": False}).corrected == 1
    assert newest(tmp_path, book)["1"] is False


@pytest.mark.parametrize(
    ("held", "same", "others"),
    [
        (2**53 + 1, [2**53 + 1, str(2**53 + 1), f"{2**53 + 1}.0"], [2**53, 2**53 + 2, f"{2**53 + 1}.5"]),
        (7, [7, 7.0, "7", " 7.00", "0.7e1"], [6.5, "7.5", True, "seven", "7_0", "1e999999999", 2**62]),
        (-0.5, [-0.5, "-.5", "-5e-1"], [0.5, "", "nan", "inf", "-1e400"]),
        (None, [None], ["nobody", 0, False, "", "1e999999999"]),
        (True, [True, "true", "1"], [False, "0", "yes, indeed"]),
        (
            "2026-01-15T20:00:00Z",
            ["2026-01-15 20:00:00", "2026-01-15T20:00:00+00:00"],
            ["2026-01-15", "2026-01-15 20:00:01"],
        ),
        ({"a": 1}, [], ["a", 1, "1"]),
        (["a"], [], ["a", None]),
    ],
)
def test_what_inputs_say(tmp_path: Path, held: Any, same: list[Any], others: list[Any]) -> None:
    # A column is of the type of what it holds elsewhere.
    filled = {type(None): 5, bool: False, int: 1, float: 2.5}.get(type(held), held)
    entries = [answered(1, inputs={"x": held, "n": 1}), answered(2, inputs={"x": filled, "n": 2})]
    write(tmp_path, entries)
    for place in ("segment", "part"):
        book = LabelBook(tmp_path / place)
        book.take([{"input_x": v, "input_n": 1, "label": j} for j, v in enumerate([*same, *others])])
        assert match(tmp_path, book) == Matched(matched=len(same), unknown=len(others))
        assert [label.id is not None for label in book.labels()][: len(same)] == [True] * len(same)
        compact(tmp_path)


@pytest.mark.parametrize(
    ("held", "same", "others"),
    [
        ("c1", ["c1"], ["c2", None, '"c1"', 1]),
        (5, [5, 5.0, "5", "5.0"], [6, "five", True]),
        (2**53 + 1, [2**53 + 1, str(2**53 + 1)], [2**53]),
        (2.5, [2.5, "2.50"], ["2", 3]),
        (True, [True, "true"], [1, False]),
        ("", [""], [None, "x"]),
        ("größer", ["größer"], []),
        ("2026-01-15T20:00:00Z", ["2026-01-15 20:00:00"], ["2026-01-15"]),
        (None, [None], ["", "null", 0]),
    ],
)
def test_what_inputs_say_where_types_are_mixed(
    tmp_path: Path, held: Any, same: list[Any], others: list[Any]
) -> None:
    """One odd value makes the column JSON; labels find their predictions all the same."""
    write(tmp_path, [answered(1, inputs={"x": held, "n": 1}), answered(2, inputs={"x": "odd", "n": 2})])
    for place in ("segment", "part", "parts"):
        book = LabelBook(tmp_path / place)
        book.take([{"input_x": v, "input_n": 1, "label": j} for j, v in enumerate([*same, *others])])
        assert match(tmp_path, book) == Matched(matched=len(same), unknown=len(others))
        assert [label.id is not None for label in book.labels()][: len(same)] == [True] * len(same)
        compact(tmp_path)
        if place == "segment":
            write(tmp_path, [answered(3, inputs={"x": [1], "n": 3})])


def test_labels_of_several_types(tmp_path: Path, book: LabelBook) -> None:
    """One odd label changes no other; when it is corrected or withdrawn, it has no say in the type either."""
    write(tmp_path, [answered(i, answer={"prediction": "late" if i % 2 else "early"}) for i in range(4)])
    ids = [answered(i).id for i in range(4)]
    book.take([{"id": ids[0], "label": "late"}, {"id": ids[1], "label": "late"}, {"id": ids[2], "label": 1}])
    right = "SELECT label = prediction FROM answered WHERE label IS NOT NULL ORDER BY id"
    assert query(tmp_path, right, label_tables(book.labels())).rows == [(False,), (True,), (False,)]
    book.take([{"id": ids[0], "label": 2.5}, {"id": ids[1], "label": None}, {"id": ids[2], "label": 1}])
    told = query(tmp_path, "SELECT sum(label) FROM answered", label_tables(book.labels()))
    assert told.rows == [(3.5,)]
    every = query(tmp_path, "SELECT label FROM labels ORDER BY number", label_tables(book.labels())).rows
    assert every == [("late",), ("late",), ("1",), ("2.5",), (None,)]


FLAG, GRADE = Task(Kind.BINARY, (False, True)), Task(Kind.MULTICLASS, (1.0, 2.0, 3.0))
WORD, WORDS = Task(Kind.BINARY, ("0", "yes")), Task(Kind.MULTICLASS, ("early", "late", "3"))


@pytest.mark.parametrize(
    ("task", "given", "kept"),
    [
        (FLAG, [True, 1, 0.0, "1", "False", "true", "1.0"], [True, True, False, True, False, True, True]),
        (FLAG, ["maybe", 2, ""], None),
        (Task(Kind.BINARY, (0.0, 1.0)), [1, True, "false", "1"], [1.0, 1.0, 0.0, 1.0]),
        (WORD, ["yes", "0", 0, 0.0], ["yes", "0", "0", "0"]),
        (WORD, ["Yes", 1, False, "no"], None),
        (GRADE, [1, "2", 3.0, 4], [1.0, 2.0, 3.0, 4]),
        (GRADE, ["good", True], None),
        (WORDS, ["late", 3, "cancelled"], ["late", "3", "cancelled"]),
        (WORDS, [4, True], None),
        (Task(Kind.REGRESSION), [1, 2.5, "7.25", -3], [1, 2.5, 7.25, -3]),
        (Task(Kind.REGRESSION), ["n/a", True, "nan", "", "1e999"], None),
    ],
)
def test_labels_that_fit_the_task(tmp_path: Path, task: Task, given: list[Any], kept: list[Any]) -> None:
    book = LabelBook(tmp_path, fit=as_truth(task))
    taken = book.take([{"id": f"p{i}", "label": value} for i, value in enumerate(given)])
    found = [(label.value, type(label.value)) for label in book.labels()]
    assert found == [(value, type(value)) for value in kept or ()]
    assert taken.refused == len(given) - len(found)
    assert [p.where for p in taken.problems] == [f"[{i}].label" for i in range(taken.refused)]
    assert all("is no truth of what is predicted" in p.what for p in taken.problems)
    assert book.take({"id": "p0", "label": None}).refused == 0


def test_messages_with_a_name(book: LabelBook) -> None:
    row = {"id": "p", "label": 1, "event_id": "m1"}
    assert book.take(row).new == 1
    assert book.take(row).known == 1
    assert book.take({"id": "p", "label": 2}).corrected == 1
    assert book.take(row).known == 1  # it came late again, and corrects nothing
    assert [label.value for label in book.labels()] == [1, 2]
    other = book.take({**row, "label": 3})
    assert other.refused == 1
    assert "says something else" in other.problems[0].what


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (1, "has to be an object"),
        ({"label": 1}, "either an id or inputs"),
        ({"id": "a", "input_b": 1, "label": 1}, "either an id or inputs"),
        ({"id": "a"}, "there is no label"),
        ({"id": 5, "label": 1}, "expected text"),
        ({"id": "", "label": 1}, "expected text"),
        ({"id": "a", "label": [1]}, "expected text, a number"),
        ({"id": "a", "label": float("nan")}, "expected text, a number"),
        ({"id": "a", "label": 2**70}, "expected text, a number"),
        ({"id": "a", "label": "\ud800"}, "expected text, a number"),
        ({"input_x": {"a": 1}, "label": 1}, "expected text, a number"),
        ({"id": "a", "label": 1, "weight": 0}, "above 0"),
        ({"id": "a", "label": 1, "weight": True}, "above 0"),
        ({"id": "a", "label": 1, "lable": 2}, "unknown field 'lable'"),
    ],
)
def test_rows_that_are_refused(book: LabelBook, row: Any, told: str) -> None:
    taken = book.take([row, {"id": "good", "label": 1}])
    assert (taken.refused, taken.new) == (1, 1)
    assert told in taken.problems[0].what
    assert taken.plain()["errors"]


def test_too_many_at_once(book: LabelBook) -> None:
    with pytest.raises(DataError, match="10,001 labels"):
        book.take([{"id": "a", "label": 1}] * 10_001)
    assert list(book.labels()) == []


def test_inputs_are_kept_as_the_log_has_them(tmp_path: Path) -> None:
    def treat(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(inputs.get("customer"), str):
            raise DataError("no text", where="input_customer")
        return {**inputs, "customer": f"hash of {inputs['customer']}"[::-1]}

    write(tmp_path, [answered(1, inputs={"customer": "adA fo hsah"})])
    book = LabelBook(tmp_path, treat=treat)
    taken = book.take([{"input_customer": "Ada", "label": 1}, {"input_customer": 5, "label": 1}])
    assert (taken.new, taken.refused) == (1, 1)
    assert match(tmp_path, book).matched == 1
    assert b"Ada" not in (tmp_path / "labels.db").read_bytes()


def test_many_at_once(tmp_path: Path) -> None:
    def work() -> None:
        for i in range(20):
            LabelBook(tmp_path).take([{"id": f"p{i}", "label": i}, {"id": f"q{i}", "label": i}])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(label.id or "" for label in LabelBook(tmp_path).labels()) == sorted(
        f"{a}{i}" for a in "pq" for i in range(20)
    )


def test_files(tmp_path: Path) -> None:
    plain = tmp_path / "labels.csv"
    plain.write_text("id,label,weight,input_ignored\n", encoding="utf-8")
    assert list(batches(plain)) == []
    plain.write_text("\ufeffid,label,weight\na,1,\nb,2.5,4\nc,,\n", encoding="utf-8")
    assert list(batches(plain)) == [
        [{"id": "a", "label": 1}, {"id": "b", "label": 2.5, "weight": 4}, {"id": "c", "label": None}]
    ]
    plain.write_text("input_n,label\n1,true\n2,False\n", encoding="utf-8")
    assert list(batches(plain)) == [[{"input_n": "1", "label": True}, {"input_n": "2", "label": False}]]
    plain.write_text("id,label\na,1\nb,late\n", encoding="utf-8")
    assert [r["label"] for r in next(batches(plain))] == ["1", "late"]
    table = pa.table({"id": ["a", None], "label": [1.5, 2.0], "input_at": [None, datetime(2026, 1, 1)]})
    pq.write_table(table, tmp_path / "labels.parquet")
    (rows,) = batches(tmp_path / "labels.parquet")
    assert rows[1] == {"label": 2.0, "input_at": "2026-01-01T00:00:00"}
    (tmp_path / "labels.jsonl").write_text('{"id": "a", "label": true}\n\n{"id": "b"}\n')
    assert list(batches(tmp_path / "labels.jsonl")) == [[{"id": "a", "label": True}, {"id": "b"}]]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "id,lable\na,1\n", "'lable'"),
        ("a.csv", "label\n1\n", "no column says what is labelled"),
        ("a.csv", "id,label,label\na,1,2\n", "one name"),
        ("a.csv", "id,label\na\n", "more or fewer cells"),
        ("a.csv", "id,label\na,1,2\n", "more or fewer cells"),
        ("a.csv", "", "no column 'label'"),
        ("a.jsonl", '{"id": "a", "label": 1}\n{', "no JSON"),
        ("a.parquet", "not parquet", "can't be read"),
        ("a.txt", "", "is no CSV"),
        ("b.csv", None, "can't be read"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        list(batches(tmp_path / name))
