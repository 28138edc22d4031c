"""Labelled answers of the prediction log as rows of the events table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from spine import edit_rows, edit_spec, statuses

from headrace.core.answered import Answered
from headrace.core.clock import micros
from headrace.core.errors import SpecError
from headrace.engine.live_target import TRUTH
from headrace.engine.pins import output_of, snapshots_of_run
from headrace.logs.writer import LogWriter
from headrace.project import Project

NEW = datetime(2024, 3, 2, 6, tzinfo=UTC)
LIVE = ("  id: parcel", "  id: parcel\n  live: true")


def answer(project: Project, rows: list[dict[str, Any]], *, first: int = 0, of: str = "") -> list[str]:
    """Log answers about these rows, an hour apart; their ids."""
    champion = project.releases().champion
    assert champion is not None
    log = LogWriter(project.log_folder, worker=f"w{first}", mode="durable")
    said = {"prediction": True, "probability": 0.7}
    entries = [
        Answered(
            f"p{first + i:06d}",
            micros(NEW + timedelta(hours=first + i)),
            "default",
            champion.release,
            "shadow" if of else "champion",
            "",
            "model",
            row,
            said,
            of=of,
        )
        for i, row in enumerate(rows)
    ]
    log.append(entries, lambda error: None)
    log.close()
    return [e.id for e in entries]


def events_of(project: Project, run: str) -> Any:
    snapshot = snapshots_of_run(project.store, project.show(run))["parcels"]
    return pq.read_table(project.store.get(snapshot.artifact)), snapshot


def test_labelled_answers_are_rows_with_their_labels_as_targets(finished: Project) -> None:
    edit_spec(finished, LIVE)
    sent = [{"depot": "north", "distance": i + 100.0} for i in range(20)]
    sent[3]["parcel"] = 7  # the table has it: it stays the table's
    sent[4] |= {"parcel": 900_004, "at": "2024-03-05T10:00:00Z"}
    sent[5]["parcel"] = sent[6]["parcel"] = 900_005  # asked twice: the newest answer counts
    ids = answer(finished, sent)
    answer(finished, [{"depot": "south", "distance": 1.0}], first=50, of=ids[0])
    labels: list[dict[str, Any]] = [{"id": n, "label": i % 2 == 0} for i, n in enumerate(ids[:15])]
    labels += [
        {"id": ids[0], "label": False},
        {"id": ids[1], "label": None},
        {"id": "p000050", "label": True},
    ]
    for row in labels:  # one by one: corrections come after what they correct
        finished.labels().take([row])
    base = snapshots_of_run(finished.store, finished.show("run-1"))["parcels"].rows

    run = finished.run(to="split")
    assert run.status == "stopped", [p.what for p in run.problems]
    table, snapshot = events_of(finished, run.run)

    # 15 labelled, one withdrawn, one the table's, two about one event
    assert snapshot.rows == base + 12 == table.num_rows
    live = table.slice(base).to_pylist()
    by_distance = {r["distance"]: r for r in live}
    assert sorted(by_distance) == [100 + i for i in (0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14)]
    assert by_distance[100][TRUTH] is False  # as it was corrected
    assert by_distance[102][TRUTH] is True
    assert by_distance[104]["at"] == datetime(2024, 3, 5, 10)
    assert by_distance[104]["parcel"] == 900_004
    # The prediction is made an hour before the event.
    assert by_distance[102]["at"] == (NEW + timedelta(hours=3)).replace(tzinfo=None)
    made = [r["parcel"] for r in live if r["distance"] not in (104, 106)]
    assert all(p < 0 for p in made)
    assert len(set(made)) == len(made)
    assert all(r["late"] is None for r in live)
    assert table.slice(0, base).column(TRUTH).null_count == base

    parts = np.load(
        finished.store.get(output_of(finished.store, finished.show(run.run), "split").outputs["parts"])
    )
    assert (parts[base:] == 2).all()  # the newest rows, and with a target


def test_live_rows_are_learned_from_and_no_column_of_theirs_is_asked_of_callers(finished: Project) -> None:
    edit_spec(finished, LIVE)
    draw = np.random.default_rng(3)
    sent = [
        {"depot": "north" if draw.random() < 0.5 else "south", "distance": float(draw.uniform(1, 50))}
        for _ in range(80)
    ]
    ids = answer(finished, sent)
    said = [bool(draw.random() < 0.3) for _ in ids]
    finished.labels().take([{"id": n, "label": v} for n, v in zip(ids, said, strict=True)])
    first = finished.run(to="evaluate")
    assert first.status == "stopped"
    served = next(s.output for s in first.stages if s.name == "package").facts["serving"]
    assert TRUTH not in {f["name"] for f in served["fields"]}

    again = finished.run(to="evaluate")
    assert set(statuses(again).values()) == {"cached"}, statuses(again)
    finished.labels().take([{"id": ids[0], "label": not said[0]}])
    other = finished.run(to="split")
    assert statuses(other)["ingest"] == "ran"


def test_without_labels_the_table_is_as_it_was(finished: Project) -> None:
    edit_spec(finished, LIVE)
    answer(finished, [{"depot": "north", "distance": 3.0}])
    before = snapshots_of_run(finished.store, finished.show("run-1"))["parcels"]
    _, snapshot = events_of(finished, finished.run(to="ingest").run)
    assert (snapshot.artifact, snapshot.content) == (before.artifact, before.content)


def test_what_does_not_fit_a_column_is_null_and_whole_numbers_make_room_for_fractions(
    finished: Project,
) -> None:
    edit_spec(finished, LIVE)
    edit_rows(finished, lambda r: {**r, "distance": str(round(float(r["distance"])))})
    sent: list[dict[str, Any]] = [
        {"distance": 2.5},
        {"distance": "far", "depot": 4},
        {"distance": 3, "at": "now"},
    ]
    ids = answer(finished, sent)
    finished.labels().take([{"id": n, "label": True} for n in ids])
    run = finished.run(to="ingest", raises=False)
    table, snapshot = events_of(finished, run.run)
    assert [r["distance"] for r in table.slice(snapshot.rows - 3).to_pylist()] == [2.5, None, 3.0]
    assert table.slice(snapshot.rows - 3).column("depot").null_count == 3
    assert table.slice(snapshot.rows - 3).column("at").null_count == 0


def test_live_needs_an_id(fresh: Project) -> None:
    edit_spec(fresh, ("  id: parcel", "  live: true"))
    with pytest.raises(SpecError) as error:
        fresh.check()
    assert "data.live needs data.id" in str(error.value)
