"""A champion that was retired: the fallback answers, in servers that run and in those that start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from desk_world import Kept, ask, planned, scene, served
from live_world import world
from serve_releases import Release
from served import wait_until
from test_answer import ROW

from headrace.core.errors import NoAnswer
from headrace.engine.releases import retire
from headrace.serve.desk.desk import Desk
from headrace.serve.live import Following, Live, loader


def test_what_comes_after_it_answers_and_says_why(binary: Release) -> None:
    there = scene(served(binary, planned(binary, fallback=("distance > 500", False))))
    log = Kept()
    at = Desk(Live(replace(there, retired=True)), log)
    (answer,) = ask(at, [ROW])
    assert (answer["by"], answer["release"], answer["fallback"]) == ("fallback: rule (retired)", None, True)
    assert [e.by for e in log.entries] == ["fallback: rule (retired)"]
    assert ask(at, [ROW], release="r7")[0]["by"] == "model"  # who names it gets it
    bare = Desk(Live(replace(scene(served(binary)), retired=True)), None)
    with pytest.raises(NoAnswer, match="taken out of service"):
        ask(bare, [ROW])


def test_servers_follow_and_begin_with_it(tmp_path: Path) -> None:
    ledger = world(tmp_path)
    load = loader(ledger.store, ledger.clock)
    live = Following(ledger.store, load, every=0.02)
    try:
        retire(ledger.store, "aaaa", actor="me", reason="it harms", clock=ledger.clock)
        wait_until(lambda: live.scene.retired)
        assert live.scene.champion == "aaaa"
        other = Following(ledger.store, load, every=0.02)
        assert other.scene.retired
        other.close()
        ledger.promote("aaaa")
        wait_until(lambda: not live.scene.retired)
    finally:
        live.close()
