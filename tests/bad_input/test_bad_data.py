"""Files and columns that are not what the spec says: one clear error, before anything stored is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from spine import begin, edit_rows, edit_spec, statuses, verdict

from headrace.core.errors import DataError, HeadraceError, SpecError, UserCodeError, UserError
from headrace.project import Project

Row = dict[str, str]
HEADER = "parcel,at,depot,courier,part,distance,late\n"


def parcels(project: Project) -> Path:
    return project.root / "data" / "parcels.csv"


def refused(project: Project, kind: type[HeadraceError] = SpecError) -> tuple[str, str, str]:
    """Run; what, where and fix of the first problem. The ledger and every artifact stay as they are."""
    before = {a.digest for a in project.store.artifacts()}
    with pytest.raises(kind) as caught:
        project.run()
    assert caught.value.exit_code == 2
    assert before <= {a.digest for a in project.store.artifacts()}
    assert project.audit().ok
    problem = caught.value.problems[0]
    return problem.what, problem.where, problem.fix


def split_facts(project: Project) -> tuple[dict[str, int], dict[str, int]]:
    result = project.run()
    facts = {s.name: s for s in result.stages}["split"].output.facts
    return facts["counts"], facts["dropped"]


def test_an_empty_file(fresh: Project) -> None:
    parcels(fresh).write_text("")
    what, where, fix = refused(fresh)
    assert (what, fix) == ("the file is empty", "give a file with a header and rows")
    assert where == "headrace.yaml:21 (data.tables.parcels.read): data/parcels.csv"
    assert fresh.runs() == ()


@pytest.mark.parametrize("timeless", [False, True], ids=["with times", "without times"])
def test_a_header_alone(fresh: Project, timeless: bool) -> None:
    parcels(fresh).write_text(HEADER)
    if timeless:
        edit_spec(fresh, ("  time: at\n  lead: 60 min\n", ""), ("hour(at) >= 20", "distance > 3"))
        edit_spec(fresh, ("hour: hour(at)", "hour: distance"), (", time: seen, ttl: 3 h", ""))
        edit_spec(fresh, ("{by: time, validation: 20%, test: 20%}", "{by: random}"))
    what, where, _ = refused(fresh)
    assert what == "the table 'parcels' has no rows"
    assert where.endswith("data/parcels.csv")


def test_a_ragged_row_is_named_by_its_line(fresh: Project) -> None:
    lines = parcels(fresh).read_text().splitlines()
    lines[700] = lines[700].rsplit(",", 2)[0]
    parcels(fresh).write_text("\n".join(lines))
    what, where, _ = refused(fresh)
    assert what == "the row has 5 fields, the header has 7"
    assert where.endswith("data/parcels.csv:701")


def test_bytes_that_are_no_text(fresh: Project) -> None:
    parcels(fresh).write_bytes(parcels(fresh).read_bytes().replace(b"north", "nörth".encode("latin-1")))
    what, _, fix = refused(fresh)
    assert (what, fix) == ("column 'depot' holds bytes that are no UTF-8", "save the file as UTF-8")


def test_a_column_that_is_renamed_between_two_runs(finished: Project) -> None:
    before = parcels(finished).read_bytes()
    parcels(finished).write_bytes(before.replace(b"distance", b"distanse", 1))
    champion, runs = finished.releases().champion, len(finished.runs())
    what, where, fix = refused(finished)
    assert what == "unknown column 'distance'"
    assert where.startswith("headrace.yaml:28 (features.distance): expression `distance`")
    assert fix == "did you mean 'distanse'?"
    assert (finished.releases().champion, len(finished.runs())) == (champion, runs), "before any work"
    parcels(finished).write_bytes(before)
    assert not finished.run().worked, "what was stored is still there"


def test_every_column_that_is_missing_is_told(finished: Project) -> None:
    def cut(row: Row) -> Row:
        return {n: v for n, v in row.items() if n not in ("late", "depot", "parcel")}

    edit_rows(finished, cut)
    with pytest.raises(SpecError) as caught:
        finished.run()
    told = str(caught.value)
    for place in (
        "(problem.target)",
        "(features.depot)",
        "(data.id)",
        "(data.expect.0)",
        "(data.tables.weather.key)",
    ):
        assert place in told


def test_a_lookup_column_that_is_missing(finished: Project) -> None:
    edit_rows(
        finished, lambda row: {"depot": row["depot"], "seen": row["seen"], "gust": row["wind"]}, "weather"
    )
    what, where, fix = refused(finished)
    assert what == "unknown column 'weather.wind'"
    assert "(features.wind)" in where
    assert "weather." in fix


def test_a_column_of_another_type(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "distance": f"{row['distance']} km"})
    what, where, _ = refused(finished)
    assert "`>` can't mix text and number" in what
    assert "(data.expect.1)" in where


def test_a_type_that_changes_late_in_the_file(finished: Project) -> None:
    edit_rows(
        finished, lambda row: {**row, "distance": "far" if row["parcel"] == "1150" else row["distance"]}
    )
    what, _, _ = refused(finished)
    assert "`distance` is text" in what


def test_a_feature_that_is_null_throughout(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "distance": ""})
    result = finished.run()
    assert verdict(result, "expectation: distance > 0").outcome == "pass", "null breaks no condition"
    assert statuses(result)["package"] == "ran"
    assert verdict(result, "parity: decisions").outcome == "pass"
    assert result.plain()["test"]["opening"] == 2


def test_a_lookup_that_finds_nothing(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "depot": "elsewhere"}, "weather")
    result = finished.run()
    assert statuses(result)["package"] == "ran"
    assert verdict(result, "parity: scores").outcome == "pass"


@pytest.mark.parametrize(
    ("late", "what"),
    [
        ("5", "the target 'late > 30' is False in every row: there is nothing to learn"),
        ("", "the target 'late > 30' is null in every row"),
    ],
    ids=["constant", "null"],
)
def test_a_target_with_nothing_to_learn(fresh: Project, late: str, what: str) -> None:
    edit_rows(fresh, lambda row: {**row, "late": late})
    assert refused(fresh, DataError)[0] == what
    assert [r.status for r in fresh.runs()] == ["failed"]


def test_rows_without_a_target_are_dropped_and_counted(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "late": row["late"] if int(row["parcel"]) % 3 else ""})
    counts, dropped = split_facts(fresh)
    assert sum(counts.values()) + sum(dropped.values()) == 1200
    assert dropped == {"target null": 408}


def test_duplicate_ids(finished: Project) -> None:
    edit_rows(finished, lambda row: {**row, "parcel": "7" if row["parcel"] == "8" else row["parcel"]})
    result = finished.run()
    assert (result.status, list(statuses(result))[-1]) == ("blocked", "ingest")
    assert "the first is row 9 of parcels (parcel = 7)" in result.problems[0].why


def test_dates_in_several_formats(fresh: Project) -> None:
    def other(row: Row) -> Row:
        day = f"{row['at'][8:10]}.{row['at'][5:7]}.2024 10:00"
        return {**row, "at": day if row["parcel"] == "900" else row["at"]}

    edit_rows(fresh, other)
    what, where, fix = refused(fresh)
    assert what.startswith("column 'at' is declared as time, and holds '15.02.2024 10:00'")
    assert where.endswith("data/parcels.csv:902")
    assert "in one format" in fix


def test_a_date_that_may_be_two_days(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "at": "01/02/2024 10:00"})
    what, _, fix = refused(fresh)
    assert "DD/MM/YYYY HH:MM or MM/DD/YYYY HH:MM" in what
    assert "YYYY-MM-DD" in fix


def test_a_row_without_a_time(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "at": "" if row["parcel"] == "77" else row["at"]})
    what, where, _ = refused(fresh, DataError)
    assert (what, where) == ("1 of 1,187 rows have no time; the first is row 78", "data.time")


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_too_little_to_split(fresh: Project, rows: int) -> None:
    edit_rows(fresh, lambda row: row if 4 < int(row["parcel"]) <= 4 + rows else None)
    result = fresh.run(raises=False)
    assert list(statuses(result))[-1] == "split"
    assert result.exit_code in (2, 3)
    assert fresh.audit().ok


def test_every_row_at_one_moment(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "at": "2024-01-01T00:00:00+00:00"})
    assert refused(fresh, DataError)[0].startswith("every row has the same time")


def test_more_folds_than_there_is_data_for(fresh: Project) -> None:
    edit_rows(fresh, lambda row: row if int(row["parcel"]) < 300 else None)
    edit_spec(fresh, ("folds: 3", "folds: 50"))
    what, where, fix = refused(fresh, UserError)
    assert where == "cv.folds"
    assert "too few for 50 folds" in what
    assert "take fewer folds" in fix


def test_a_wide_and_a_narrow_world(tmp_path: Path) -> None:
    """One feature, and a table with nothing but that and the target."""
    project = begin(tmp_path / "project")
    edit_rows(project, lambda row: {"distance": row["distance"], "late": row["distance"]})
    edit_spec(
        project,
        ("  id: parcel\n  time: at\n  lead: 60 min\n", ""),
        ("    weather: {read: data/weather.csv, key: depot, time: seen, ttl: 3 h}\n", ""),
        ('"unique(parcel)", ', ""),
        ("hour(at) >= 20", "1 > 2"),
        ("{by: time, validation: 20%, test: 20%}", "{by: random}"),
        ("  hour: hour(at)\n  depot: depot\n", ""),
        ("  wind: weather.wind\n", ""),
        ("  distance: distance", "  near: distance"),
        ("target: late > 30", "target: late > 25"),
        ("cv: {folds: 3}", "cv: {folds: 3}\ninspect: {allow: {near: the target is made of it here}}"),
    )
    assert project.run().status == "released"


def sources(project: Project, code: str) -> None:
    (project.root / "sources.py").write_text(code)
    edit_spec(project, ("{read: data/parcels.csv}", "{read: 'sources.py:parcels'}"))


def test_a_source_that_raises_names_its_file_and_line(fresh: Project) -> None:
    sources(fresh, "def parcels():\n    x = 1\n    raise RuntimeError('the API is down')\n")
    what, where, _ = refused(fresh)
    assert what == "parcels raised RuntimeError: the API is down"
    assert where.endswith("sources.py:3")


def test_a_source_that_raises_late(fresh: Project) -> None:
    row = '{"parcel": i, "at": "2024-01-01T00:00:00Z", "depot": "n", "distance": 1.0, "late": 3.0}'
    sources(
        fresh,
        f"def parcels():\n    for i in range(30_000):\n        yield {row}\n    raise KeyError('gone')\n",
    )
    what, where, _ = refused(fresh, UserCodeError)
    assert (what, where) == ("parcels raised KeyError: 'gone'", "sources.py:4")
    (event,) = fresh.store.read(kinds=("stage.failed",))
    assert event.payload["problems"][0]["where"] == "sources.py:4"
    assert list((fresh.root / ".headrace" / "tmp").iterdir()) == [], "nothing half-made is left"


def test_a_source_that_is_no_python(fresh: Project) -> None:
    sources(fresh, "def parcels(:\n")
    what, where, _ = refused(fresh)
    assert "SyntaxError" in what
    assert where.endswith("sources.py:1")


ESTIMATOR = """
from sklearn.linear_model import LogisticRegression

class Moody{n}(LogisticRegression):
    def fit(self, X, y):
        raise ValueError("I dislike these rows")
"""


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside a tree"])
def test_an_estimator_that_raises(fresh: Project, monkeypatch: pytest.MonkeyPatch, alone: bool) -> None:
    module = f"moody_{int(alone)}"
    (fresh.root / f"{module}.py").write_text(ESTIMATOR.format(n=int(alone)))
    monkeypatch.syspath_prepend(str(fresh.root))
    use = f"{module}:Moody{int(alone)}"
    edit_spec(fresh, ("[tree]", f"['{use}']" if alone else f"['{use}', tree]"))
    if alone:
        what, where, _ = refused(fresh, UserError)
        assert "ValueError: I dislike these rows" in what
        assert where == f"models: {use}"
        return
    result = fresh.run()
    assert result.status == "released", "the others go on"
    line = next(m for m in result.plain()["leaderboard"] if m["model"] == use)
    assert line["mean"] is None
    assert "ValueError: I dislike these rows" in line["error"]
    assert next(s for s in fresh.release()[1].leaderboard if s.model == use).error


def directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (directory, "can't be read"),
        (lambda f: f.write_bytes(b"\xff\xfe\x00"), "can't be read"),
        (lambda f: f.write_bytes(b"\x00"), "not valid YAML"),
        (lambda f: f.write_text("a:\n\t- b"), "headrace.yaml:2: not valid YAML"),
        (lambda f: f.write_text(""), "the file is empty"),
        (lambda f: f.write_text("- a\n- b"), "no mapping of keys"),
        (lambda f: f.unlink(), "there is no headrace.yaml"),
    ],
    ids=["a folder", "not UTF-8", "a null byte", "a tab", "empty", "a list", "gone"],
)
def test_a_spec_that_is_none(finished: Project, spoil: Callable[[Path], object], told: str) -> None:
    spoil(finished.root / "headrace.yaml")
    with pytest.raises(SpecError, match=told):
        finished.run()
    assert finished.releases().champion is not None, "what was made can still be looked at"
    assert finished.audit().ok
