"""Online is offline: facts sent to a real server, out of order and through restarts, give the very values
that a snapshot of all of them gives, for the same moments."""

from __future__ import annotations

import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from online_world import Tables, batches, released, tables, whole
from said import said
from served import served

from headrace.core.feed import Window
from headrace.core.schema import Type
from headrace.data.online.facts import key_of
from headrace.project import Project
from headrace.release.feeds import feeds_of
from headrace.serve.answer import Answerer
from headrace.serve.online import Notes, Online

OLD = Window("parcels", ("depot",), "late", Type.NUMBER, None, "at", "done")
"""The stream of `avg(late)` by depot."""

TRAINED, LATER, DAYS = 900, 8_300, 50


@pytest.fixture(scope="module")
def everything() -> Tables:
    """What there will be in the end."""
    return tables(TRAINED, LATER, DAYS)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, everything: Tables) -> Project:
    """A project that was trained on the first rows, and materialised."""
    began = everything.parcels[TRAINED]["at"]
    known = Tables(everything.parcels[:TRAINED], [w for w in everything.weather if w["seen"] <= began])
    project = released(tmp_path_factory.mktemp("online") / "project", known)
    done = project.materialize()
    assert [(m.table, m.new) for m in done] == [("parcels", TRAINED), ("weather", len(known.weather))]
    assert [m.new for m in project.materialize()] == [0, 0]
    return project


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    """A copy: facts go into its store alone."""
    shutil.copytree(template.root, tmp_path / "project")
    return Project(tmp_path / "project", clock=template._clock, actor=template.actor)


def facts(everything: Tables, seed: int) -> list[dict[str, Any]]:
    """All facts in no order, one in twenty twice, and a hundred that the release was trained on."""
    draw = random.Random(seed)
    parcels = everything.parcels[TRAINED - 100 :]
    began = parcels[0]["at"]
    weather = [w for w in everything.weather if w["seen"] >= began]
    sent = []
    for rows, table in ((parcels, "parcels"), (weather, "weather")):
        rows = [*rows, *draw.sample(rows, len(rows) // 20)]
        draw.shuffle(rows)
        sent += batches(rows, table, 250)
    draw.shuffle(sent)
    return sent


def requests(everything: Tables, count: int, seed: int) -> list[dict[str, Any]]:
    """Requests at chosen moments: any, and those at which a fact became known, to the microsecond."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        of = draw.choice(everything.parcels[TRAINED:])
        told = draw.choice([of["done"], draw.choice(everything.weather)["told"], of["at"]]) or of["at"]
        at = datetime.fromisoformat(told) + timedelta(hours=1, microseconds=draw.choice([-1, 0, 1]))
        row = {"at": at.isoformat(), "distance": of["distance"]}
        row |= {"depot": draw.choice([of["depot"], "nowhere", None, "north"]), "courier": of["courier"]}
        rows.append(row)
    return rows


def compare(project: Project, everything: Tables, folder: Path, rows: list[dict[str, Any]]) -> Answerer:
    """Every looked up value of these requests, online and offline: equal bit by bit."""
    _, manifest = project.release()
    offline = Answerer(project.store, whole(project, manifest.serving, folder, everything), "r")
    online = Answerer(
        project.store,
        manifest.serving,
        "r",
        online=Online(project.online(), manifest.serving, project._clock),
    )
    feeds = offline._encoder.encode(rows)
    wanted, got = offline._find(rows, feeds), online._find(rows, feeds, Notes())
    assert set(got) == set(wanted)
    assert len(wanted) == 16
    for name, values in wanted.items():
        assert got[name].dtype == values.dtype
        if values.dtype == object:
            assert got[name].tolist() == values.tolist(), name
        else:
            same = got[name].view(np.int64) == values.view(np.int64)
            assert same.all(), (name, np.flatnonzero(~same)[:3])
        assert len(set(values.tolist())) > 2, f"{name} hardly varies: the test would see nothing"
    return offline


def test_online_values_are_offline_values(project: Project, everything: Tables, tmp_path: Path) -> None:
    sent = facts(everything, seed=3)
    assert sum(len(b["rows"]) for b in sent) > 10_000
    taken = dict.fromkeys(("new", "known", "refused", "unused"), 0)
    for part in (sent[: len(sent) // 2], sent[len(sent) // 2 :]):  # the server restarts in between
        with served(project.root, "--online") as server:
            for body in part:
                status, _, answer = server.ask("POST", "/events", body)
                assert status == 200, answer
                for key, count in answer.items():
                    taken[key] += count
    undone = sum(p["done"] is None for b in sent if b["table"] == "parcels" for p in b["rows"])
    assert taken["refused"] == 0
    assert taken["unused"] == undone
    assert taken["new"] + taken["known"] + undone == sum(len(b["rows"]) for b in sent)
    fresh = project.online().freshness("parcels")
    assert fresh.arrived == sum(p["done"] is not None for p in everything.parcels[TRAINED:])
    assert fresh.facts == TRAINED + fresh.arrived

    rows = requests(everything, 400, seed=4)
    offline = compare(project, everything, tmp_path / "whole", rows)
    with served(project.root) as server:
        told = said(server.ask("POST", "/predict", rows)[2])
        about = server.ask("GET", "/online")[2]
    expected = [{**a, "release": told[0]["release"]} for a in offline.answer(rows)]
    missing = [a.pop("features", None) for a in told]
    assert told == expected
    assert any(missing)
    assert about["tables"]["parcels"]["facts"] == fresh.facts


def test_a_killed_server_keeps_what_it_acknowledged(
    project: Project, everything: Tables, tmp_path: Path
) -> None:
    """Killed with a batch on its way: what was acknowledged is known, the batch as a whole or not at all, and
    the rest is sent again."""
    few = Tables(everything.parcels[: TRAINED + 1_500], everything.weather)
    sent = facts(few, seed=5)
    acknowledged = 0
    with served(project.root) as server:
        for body in sent[: len(sent) // 2]:
            acknowledged += server.ask("POST", "/events", body)[2]["new"]
        on_its_way = sent[len(sent) // 2]
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(server.ask, "POST", "/events", on_its_way)
            time.sleep(0.01)  # most often it has arrived by then, and is not answered
            server.kill()
            with suppress(OSError, HTTPException):
                acknowledged += answer.result()[2]["new"]
                on_its_way = {**on_its_way, "rows": []}
    kept = project.online()
    arrived = sum(kept.freshness(t).arrived for t in ("parcels", "weather"))
    assert arrived in (acknowledged, acknowledged + len(on_its_way["rows"]))
    with served(project.root) as server:
        for i, body in enumerate(sent):
            status, _, answer = server.ask("POST", "/events", body)
            assert status == 200
            assert i >= len(sent) // 2 or answer["new"] == 0, "what was acknowledged is known"
    compare(project, few, tmp_path / "whole", requests(few, 300, seed=6))


def test_a_later_release_sees_what_arrived_before(
    project: Project, everything: Tables, tmp_path: Path
) -> None:
    """Streams of another definition are filled from the snapshot, and from the facts that were kept."""
    with served(project.root) as server:
        for body in facts(everything, seed=7)[::6]:
            assert server.ask("POST", "/events", body)[0] == 200
    before = project.online().freshness("parcels")
    file = project.root / "headrace.yaml"
    text = file.read_text(encoding="utf-8").replace("avg(late)", "avg(late + 1)")
    file.write_text(text, encoding="utf-8")
    result = project.run()
    assert result.status == "released"
    done = {m.table: m for m in project.materialize(result.release)}
    assert (done["parcels"].filled, done["parcels"].new) == (1, 0)
    assert project.online().freshness("parcels") == before
    _, manifest = project.release(result.release)
    there = project.online()
    streams = {w.value: w.stream.name for w in feeds_of(manifest.serving)["parcels"].windows if w.value}
    keys = [key_of([d]) for d in ("north", "south")]
    for key in keys:
        assert key is not None
        both = (OLD.stream.name, streams["late + 1"])
        old, new = (there.window(name, key, -(2**63), 2**62) for name in both)
        assert len(old) > 600
        assert (old[:, :3] == new[:, :3]).all()
        assert (old[:, 3].view(np.float64) + 1 == new[:, 3].view(np.float64)).all()
