"""What is live follows the ledger: routes, champions, releases that come and go, a ledger that is gone."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_world import World, world
from served import wait_until

from headrace.core.routes import DEFAULT, Role, pick
from headrace.core.views import ReleaseView
from headrace.serve.live import Following, Served, loader


@pytest.fixture
def ledger(tmp_path: Path) -> World:
    return world(tmp_path)


@pytest.fixture
def live(ledger: World) -> Iterator[Following]:
    found = Following(ledger.store, loader(ledger.store, ledger.clock), every=0.02)
    yield found
    found.close()


def test_a_canary_answers_its_share_once_it_is_loaded(ledger: World, live: Following) -> None:
    assert (live.scene.champion, set(live.scene.served)) == ("aaaa", {"aaaa"})
    ledger.set_route(canary=("bbbb", 0.5))
    wait_until(lambda: "bbbb" in live.scene.served)
    route = live.scene.routes[DEFAULT]
    drawn = [pick(route, f"u{i}") for i in range(2000)]
    share = sum(a is not None and a.release == "bbbb" for a in drawn) / 2000
    assert 0.45 < share < 0.55
    assert [a.role for a in route.arms] == [Role.CANARY]


def test_a_rollback_waits_for_no_release_that_is_being_loaded(ledger: World) -> None:
    load = loader(ledger.store, ledger.clock)
    held: list[bool] = [True]

    def slow(view: ReleaseView) -> Served:
        while view.release == "cccc" and held[0]:
            time.sleep(0.01)
        return load(view)

    live = Following(ledger.store, slow, every=0.02)
    try:
        ledger.set_route(canary=("bbbb", 0.5))
        wait_until(lambda: "bbbb" in live.scene.served)
        ledger.set_route(shadows=(("cccc", 1.0),))
        time.sleep(0.1)
        assert "cccc" not in live.scene.served, "it is not warm"
        assert live.scene.routes[DEFAULT].releases == ("bbbb",)
        ledger.roll_back()
        wait_until(lambda: live.scene.routes[DEFAULT].canary is None)
        held[0] = False
        wait_until(lambda: "cccc" in live.scene.served)
    finally:
        held[0] = False
        live.close()


def test_promotion_and_rollback_of_champions(ledger: World, live: Following) -> None:
    ledger.set_route(canary=("bbbb", 1.0))
    wait_until(lambda: "bbbb" in live.scene.served)
    ledger.promote("bbbb")
    wait_until(lambda: live.scene.champion == "bbbb")
    assert live.scene.routes[DEFAULT].arms == (), "the champion is named in no arm"
    ledger.restore("aaaa", "bbbb")
    wait_until(lambda: live.scene.champion == "aaaa")


def test_what_nothing_names_any_more_is_let_go(ledger: World, live: Following) -> None:
    ledger.set_route(canary=("bbbb", 0.5))
    wait_until(lambda: "bbbb" in live.scene.served)
    kept = weakref.ref(live.scene.served["bbbb"].answerer)
    ledger.roll_back()
    wait_until(lambda: "bbbb" not in live.scene.served)

    def gone() -> bool:
        gc.collect()
        return kept() is None

    wait_until(gone)


def test_the_champion_before_stays_ready(ledger: World, live: Following) -> None:
    """A rollback brings it back at once; the one before that is let go."""
    ledger.promote("bbbb")
    wait_until(lambda: live.scene.champion == "bbbb")
    ledger.promote("cccc")
    wait_until(lambda: live.scene.champion == "cccc")
    wait_until(lambda: set(live._loaded) == {"cccc", "bbbb"})


def test_a_ledger_that_can_not_be_read_changes_nothing(ledger: World, live: Following) -> None:
    file = ledger.folder / ".headrace" / "ledger.db"
    ledger.set_route(canary=("bbbb", 0.5))
    wait_until(lambda: "bbbb" in live.scene.served)
    scene = live.scene
    ledger.store.close()  # nothing is left in the log beside it
    kept, broken = file.with_name("kept"), file.with_name("broken")
    kept.hardlink_to(file)
    broken.write_bytes(b"this is no database, whatever anybody says" * 100)
    broken.replace(file)
    wait_until(lambda: "can't be followed" in live.trouble)
    assert live.scene == scene
    kept.replace(file)
    wait_until(lambda: live.trouble == "")
    ledger.roll_back()
    wait_until(lambda: live.scene.routes[DEFAULT].canary is None)


def test_an_error_without_a_word_does_not_end_the_following(
    ledger: World, live: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(live._ledger, "look", look)
        wait_until(lambda: live.trouble == "the ledger can't be followed: RuntimeError")
    wait_until(lambda: live.trouble == "")
    ledger.set_route(canary=("bbbb", 0.5))
    wait_until(lambda: "bbbb" in live.scene.served)


def test_a_release_that_can_not_be_loaded_gets_no_traffic(ledger: World, live: Following) -> None:
    shutil.rmtree(ledger.folder / ".headrace" / "artifacts")
    ledger.set_route(canary=("bbbb", 0.5))
    wait_until(lambda: "bbbb" in live.trouble)
    assert live.scene.routes[DEFAULT].arms == ()
    assert live.scene.served["aaaa"].answerer.answer(
        [dict.fromkeys(live.scene.served["aaaa"].answerer.types)]
    )


def test_another_champion_that_is_not_loaded_yet_leaves_the_old_one(ledger: World, live: Following) -> None:
    shutil.rmtree(ledger.folder / ".headrace" / "artifacts")
    ledger.promote("bbbb")
    wait_until(lambda: "bbbb" in live.trouble)
    assert live.scene.champion == "aaaa"
