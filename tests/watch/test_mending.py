"""From an alert to its rows, to people, to a run that is named by it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from spine import command

from headrace.core.clock import iso
from headrace.core.errors import UserError
from headrace.core.event import Draft
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.testing.log_exam import START, Callers, answered

HOUR = 3_600_000_000


def opened(project: Project, why: dict[str, Any] | None = None, arm: str = "champion") -> str:
    champion = project.releases().champion
    assert champion is not None
    told = {
        "release": champion.release,
        "arm": arm,
        "title": "data quality: rooms",
        "family": "quality",
        "families": ["quality"],
        "readings": [{"family": "quality", "check": "missing", "of": "rooms"}],
        "since": START,
        "seen": START + HOUR,
        "why": why or {},
    }
    project.store.append([Draft("alert.opened", "3f2a11", iso(project._clock()), "watch", told)])
    return champion.release


def log(project: Project, release: str, count: int) -> list[str]:
    writer = LogWriter(project.root / ".headrace" / "log", worker="w1", mode="durable")
    entries = [
        answered(i, release=release, answer={"prediction": i % 2 == 0, "probability": 0.5})
        for i in range(count)
    ]
    late = answered(count, release=release, time=START + 2 * HOUR)
    told = Callers()
    writer.append([*entries, late], told)
    assert told.wait(1) == [None]
    writer.close()
    return [e.id for e in entries]


def test_the_rows_of_an_alert_are_those_of_its_windows(finished: Project) -> None:
    ids = log(finished, opened(finished), 40)
    assert [r["id"] for r in finished.alert_rows("3f2a")] == ids
    some = finished.alert_rows("3f2a", most=10)
    assert [r["id"] for r in some] == ids[::4]
    assert "place" not in " ".join(some[0]) and "total" not in " ".join(some[0])


def test_so_many_rows_are_not_given_unasked(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = log(finished, opened(finished), 40)
    monkeypatch.setattr("headrace.project.mending._MOST", 39)
    with pytest.raises(UserError, match="there are 40 rows"):
        finished.alert_rows("3f2a")
    assert len(finished.alert_rows("3f2a", most=40)) == 40
    assert finished.alert_review("3f2a", most=5) == ids[::8]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"of": "customer", "value": "c3"}, {"c3"}),
        ({"of": "rooms", "value": "1 to 2"}, {"c0", "c1", "c2", "c3", "c4"}),
        ({"of": "nothing", "value": "x"}, {"c0", "c1", "c2", "c3", "c4"}),
        ({"of": "customer", "value": "o'neil"}, set()),
    ],
)
def test_of_a_slice_they_are_the_slices(finished: Project, found: dict[str, str], expected: set[str]) -> None:
    ids = log(finished, opened(finished, {"found": found}), 40)
    rows = finished.alert_rows("3f2a")
    assert {r["input_customer"] for r in rows} == expected
    if found["value"] == "1 to 2":
        assert {r["input_rooms"] for r in rows} == {1, 2}
    assert len(finished.alert_rows("3f2a", everywhere=True)) == len(ids)


def test_they_are_written_to_a_file(finished: Project, tmp_path: Path) -> None:
    ids = log(finished, opened(finished), 5)
    assert finished.alert_export("3f2a", tmp_path / "rows.csv") == 5
    with (tmp_path / "rows.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ids
    done = command(finished, "alerts", "rows", "3f2a", "-o", str(tmp_path / "rows.jsonl"))
    assert done.exit_code == 0
    assert [json.loads(line)["id"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()] == ids
    with pytest.raises(UserError, match=r"neither \.csv nor \.jsonl"):
        finished.alert_export("3f2a", tmp_path / "rows.txt")
    shown = command(finished, "alerts", "rows", "3f2a")
    assert "5 shown" in shown.output


def test_people_are_asked_and_what_they_say_is_a_label(finished: Project) -> None:
    ids = log(finished, opened(finished), 20)
    sent = finished.alert_review("3f2a", most=5)
    assert sent == ids[::4]
    assert finished.alert_review("3f2a", most=5) == [], "they are in the queue"
    item = finished.review_next(by="ann")
    assert item is not None and item["why"] == "alert 3f2a11: data quality: rooms"
    finished.review_decide(item["id"], item["choices"][0], by="ann")
    finished.review_status()
    labelled = {r["id"] for r in finished.alert_rows("3f2a") if r["label"] is not None}
    assert labelled == {item["id"]}


def test_where_every_row_has_its_label_nobody_is_asked(finished: Project) -> None:
    opened(finished)
    with pytest.raises(UserError, match="no row of the alert 3f2a11 is without its label") as error:
        finished.alert_review("3f2a")
    assert error.value.problems[0].fix == "train again: headrace run --because 3f2a11"


def test_what_people_say_of_a_shadows_answer_is_of_the_one_that_was_returned(finished: Project) -> None:
    release = opened(finished, arm="shadow")
    writer = LogWriter(finished.root / ".headrace" / "log", worker="w1", mode="durable")
    returned = [answered(i, release=release, arm="champion") for i in range(4)]
    beside = [answered(100 + i, release=release, arm="shadow", of=returned[i].id) for i in range(4)]
    told = Callers()
    writer.append([*returned, *beside], told)
    assert told.wait(1) == [None]
    writer.close()
    assert finished.alert_review("3f2a") == [e.id for e in returned]
    item = finished.review_next(by="ann")
    assert item is not None and item["choices"] == [False, True]
    finished.review_decide(item["id"], True, by="ann")
    finished.review_status()
    assert [r["label"] for r in finished.alert_rows("3f2a")].count(True) == 1


def test_a_run_says_that_it_mends_the_alert(finished: Project) -> None:
    opened(finished)
    done = command(finished, "run", "--because", "3f2a", "--to", "frame")
    assert done.exit_code == 0, done.output
    assert "mend data quality: rooms" in done.output
    assert finished.runs()[-1].origin["caused"]["cause"] == "3f2a11"


def test_an_alert_that_is_not_there_is_told(finished: Project) -> None:
    assert command(finished, "alerts", "rows", "nothing").exit_code == 2
    assert command(finished, "run", "--because", "nothing").exit_code == 2
