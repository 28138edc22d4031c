"""The gate skew: requests get what training computed, and what was planted is found and named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from click.testing import CliRunner
from spine import begin, verdict
from worlds import homes, wine

from headrace.cli.root import cli
from headrace.core.errors import DataError
from headrace.data.lookup import LookupTable
from headrace.engine.requests import as_requests
from headrace.project import Project

HISTORY = (
    "  wind: weather.wind\n",
    "  wind: weather.wind\n  busy: {aggregate: count(), by: depot, window: [3 h, 1 day]}\n",
)


def judged(result: Any, way: str = "requests") -> Any:
    return verdict(result, f"skew: {way}")


def test_an_honest_run_agrees_row_by_row(tmp_path: Path) -> None:
    result = begin(tmp_path, HISTORY).run()
    assert result.status == "released"
    found = judged(result)
    assert (found.outcome, found.evidence.value, found.evidence.n) == ("pass", 0.0, 238)
    assert found.evidence.details["features"] == {}
    assert judged(result, "online").outcome == "not applicable"
    done = CliRunner().invoke(cli, ["skew", "-C", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "skew: requests  pass" in done.stdout
    again = begin_again(tmp_path).run()
    assert judged(again).reason == "the release is the champion itself"


def begin_again(folder: Path) -> Project:
    return Project(folder, actor="author@example.com")


def test_three_classes_agree(tmp_path: Path) -> None:
    result = wine(tmp_path).run()
    assert judged(result).outcome == "pass"
    assert judged(result).evidence.n > 20


def test_a_regression_agrees(tmp_path: Path, housing: Path) -> None:
    found = judged(homes(tmp_path, housing).run())
    assert (found.outcome, found.evidence.n) == ("pass", 400)


def test_a_lookup_that_sees_ahead_for_one_request_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose single lookups forget the lead: what training never saw."""
    honest = LookupTable.find

    def early(self: LookupTable, key: Any, moment: int | None = None) -> Any:
        return honest(self, key, None if moment is None else moment + 3_600_000_000)

    monkeypatch.setattr(LookupTable, "find", early)
    project = begin(tmp_path)
    result = project.run()
    assert result.status == "blocked"
    found = judged(result)
    assert found.outcome == "fail"
    assert found.evidence.value > 200
    told = found.evidence.details["features"]
    assert list(told) == ["wind"]
    assert told["wind"]["rows"] <= found.evidence.value
    assert told["wind"]["trained"] != told["wind"]["served"]
    assert "wind in " in found.evidence.where
    assert "in training" in found.evidence.where
    assert any("skew: requests" in p.what for p in result.problems)
    assert result.stages[-1].name == "evaluate", "the seal was opened for a release that can't be served"
    assert not list(project.store.read(kinds=("seal.opened",)))
    waiver = {"gate": "skew: requests", "reason": "known", "by": "me@example.com", "until": "2027-01-01"}
    assert project.run(waive=[waiver]).status == "released"


def test_a_changed_table_in_the_online_store_blocks(tmp_path: Path) -> None:
    """Facts that came later and say that they were known before: training has not seen them."""
    project = begin(tmp_path, HISTORY)
    assert project.run().status == "released"
    project.materialize()
    app_take(
        project,
        [
            {"depot": d, "seen": f"2024-02-{day:02}T{h:02}:30:00+00:00", "wind": 99.0}
            for d in ("north", "south")
            for day in (8, 9, 10, 11)
            for h in range(24)
        ],
    )
    done = CliRunner().invoke(cli, ["skew", "-C", str(tmp_path), "--json"])
    assert done.exit_code == 3
    told = {v["gate"]: v for v in json.loads(done.stdout)["skew"]}
    assert {g: v["outcome"] for g, v in told.items()} == {"skew: requests": "pass", "skew: online": "fail"}
    assert list(told["skew: online"]["evidence"]["details"]["features"]) == ["wind"]
    (tmp_path / "headrace.yaml").write_text(
        (tmp_path / "headrace.yaml").read_text().replace("cv: {folds: 3}", "cv: {folds: 4}")
    )
    result = project.run()
    assert judged(result).outcome == "pass"
    found = judged(result, "online")
    assert found.outcome == "fail"
    assert list(found.evidence.details["features"]) == ["wind"]
    assert found.evidence.details["features"]["wind"]["served"] == 99.0
    assert result.status == "blocked"


def app_take(project: Project, rows: list[dict[str, Any]]) -> None:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=project.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/events", json={"table": "weather", "rows": rows})

    done = asyncio.run(send())
    assert done.status_code == 200, done.text
    assert done.json()["new"] == len(rows)


def test_a_time_that_no_request_can_hold_is_said() -> None:
    times = pa.table({"at": pa.array([0, None, 2**60], pa.int64()).cast(pa.timestamp("us"))})
    assert as_requests(times[:2]) == [{"at": "1970-01-01T00:00:00+00:00"}, {"at": None}]
    with pytest.raises(DataError, match="outside the years 1 to 9999"):
        as_requests(times)


def test_hashed_columns_are_sent_as_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_PII_KEY", "0123456789abcdef0123456789abcdef")
    project = begin(tmp_path, ("  time: at\n", "  time: at\n  pii: {depot: hash, weather.depot: hash}\n"))
    result = project.run()
    assert result.status == "released"
    assert judged(result).outcome == "pass"
    assert project.release()[1].serving.treated["depot"].do == "hash"
