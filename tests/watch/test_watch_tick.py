"""Ticks: every answer counted once, every window judged once, whoever dies when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from watch_world import HOUR, START, WINDOW, LiveWorld

from headrace.core.clock import from_micros
from headrace.core.event import Draft
from headrace.core.watching import Family, Reading
from headrace.logs.compact import compact
from headrace.logs.labels import LabelBook
from headrace.release.watching import Prices
from headrace.stores.lease import Lease
from headrace.stores.watch_file import WatchFile
from headrace.watch import tick as tick_room
from headrace.watch.facts import Facts
from headrace.watch.readings import Asked, readings
from headrace.watch.rows import MOST, LiveRows, live_rows
from headrace.watch.service import Look
from headrace.watch.tick import LOCK, Hooks, Judged
from headrace.watch.watched import Shelf
from headrace.watch.windows import Side, tallied, window_of


@pytest.fixture
def world(tmp_path: Path) -> LiveWorld:
    return LiveWorld(tmp_path / ".headrace")


def counted(world: LiveWorld) -> dict[str, list[Any]]:
    """What is counted of each judged window, by its name."""
    with world.file() as file:
        found = {}
        for kept in file.windows("w.arrived > 0"):
            of = tallied(file, file.stream(kept.release, kept.arm), window_of(kept))
            assert of.counts is not None
            found[of.window.name] = [of.window.rows, of.digest, of.counts.codes.tolist()]
    return found


def test_a_window_is_judged_when_it_is_over_once(world: LiveWorld) -> None:
    world.write(world.answers(START, 200))
    world.write(world.answers(START, 100))  # another process
    world.now = START + HOUR + 1_000_000
    assert world.tick().arrived == 0  # answers may be on their way
    assert world.at(1).tick().arrived == 1
    assert world.tick().arrived == 0
    assert world.told() == [("champion", 0, 1, 300)]
    assert world.judged()[0].payload["digest"] == counted(world)[world.judged()[0].subject][1]


def test_a_small_window_is_judged_with_the_next(world: LiveWorld) -> None:
    world.write(world.answers(START, 20))
    world.write(world.answers(START + HOUR, 20))
    assert world.at(2).tick().arrived == 0
    world.write(world.answers(START + 2 * HOUR, 20))
    world.at(3).tick()
    assert world.told() == [("champion", 0, 3, 60)]


def test_a_window_is_offered_again_when_its_labels_are_due(world: LiveWorld) -> None:
    world.write(world.answers(START, 60))
    assert (world.at(1).tick().arrived, world.at(2.5).tick().labelled) == (1, 0)
    assert world.at(3).tick().labelled == 1
    assert world.tick().labelled == 0
    assert world.told("labelled") == [("champion", 0, 1, 60)]


def test_releases_and_arms_are_counted_apart_and_a_fallback_is_its_arms(world: LiveWorld) -> None:
    world.promote(WINDOW, "r2", champion=False)
    world.write(world.answers(START, 60))
    world.write(world.answers(START, 70, arm="shadow", release="r2"))
    # Nothing gave an answer: the value that the spec falls back to.
    world.write(world.answers(START, 10, release="", by="fallback: value (timeout)"))
    world.at(1).tick()
    assert sorted(world.told()) == [("champion", 0, 1, 70), ("shadow", 0, 1, 70)]
    found = {p.reading.check: p.reading for p in told(world, family="health", arm="champion")}
    assert found["errors"].value == pytest.approx(10 / 70) and found["errors"].exceeds
    assert found["fallback"].exceeds and "timeout" in found["fallback"].where
    with world.file() as file:
        kept = next(k for k in file.windows() if k.arm == "champion")
        counts = tallied(file, file.stream("r1", "champion"), window_of(kept)).counts
        reference = Shelf(world.store)("r1").reference
    assert reference is not None and counts is not None
    bins = reference.bins
    assert counts.of(bins, "distance").sum() == 70
    assert counts.of(bins, "probability").sum() == 60  # a fallback's is not the model's


@pytest.mark.parametrize("as_part", [False, True])
def test_a_shadow_has_the_labels_of_the_answers_that_it_is_a_shadow_of(
    world: LiveWorld, as_part: bool
) -> None:
    world.promote(WINDOW, "r2", champion=False)
    given = world.answers(START, 60)
    for one in given:
        world.write([one, *world.answers(one.time, 1, span=1, release="r2", arm="shadow", of=one.id)])
    LabelBook(world.log).take([{"id": one.id, "label": True} for one in given])
    if as_part:
        compact(world.log, clock=lambda: from_micros(world.now))
    found: dict[str, tuple[int, int]] = {}

    def known(facts: Facts) -> list[Reading]:
        ids = facts.rows(None).ids
        found[facts.window.arm] = (len(ids), len(facts.truths(ids)))
        return []

    world.at(4).tick(checks={Side.ARRIVED: (), Side.LABELLED: [(Family.PERFORMANCE, known)]})
    assert found == {"champion": (60, 60), "shadow": (60, 60)}


def told(world: LiveWorld, **asked: Any) -> Any:
    with world.file() as file:
        return list(readings(file, Asked(**asked)))


def test_windows_by_count(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace", replace(WINDOW, window_rows=100))
    world.write(world.answers(START, 400, span=HOUR))  # 6 or 7 a minute
    world.at(0.9).tick()
    rows = [rows for _, _, _, rows in world.told()]
    assert len(rows) == 3 and all(100 <= r < 110 for r in rows)
    with world.file() as file:
        spans = file.spans(1, START, START + HOUR)
        assert [s[2] for s in spans[:3]] == rows  # one span each, not a hundred
    late = world.answers(START + 60_000_000, 3, span=1000)
    world.write(late)
    assert world.tick().late == 3
    assert [rows for _, _, _, rows in world.told()] == rows


def test_a_late_answer_is_counted_and_said_and_nothing_is_judged_anew(world: LiveWorld) -> None:
    world.write(world.answers(START, 60))
    world.at(1).tick()
    world.write(world.answers(START, 7))
    done = world.tick()
    assert (done.late, done.arrived) == (7, 0)
    assert world.tick().late == 0
    world.at(4).tick()
    assert world.judged()[-1].payload["side"] == "labelled"
    assert world.judged()[-1].payload["late"] == 7


def test_what_is_being_written_is_counted_once_whatever_becomes_of_it(world: LiveWorld) -> None:
    writer = world.writer()
    first, second, third = (world.answers(START + i * HOUR, 60) for i in range(3))
    world.append(writer, first)
    assert world.at(1).tick().taken.rows == 60
    world.append(writer, second)
    assert world.at(2).tick().taken.rows == 60
    world.append(writer, third)
    writer.close()
    compact(world.log, clock=lambda: from_micros(world.now))  # half read: forgotten, and read from the part
    assert world.at(3).tick().taken.rows == 180
    assert world.told() == [("champion", i, i + 1, 60) for i in range(3)]
    assert world.tick().taken.rows == 0
    compact(world.log, clock=lambda: from_micros(world.now + 48 * HOUR))
    assert world.tick().taken.rows == 0
    assert {c[0] for c in counted(world).values()} == {60}


def test_parts_that_were_put_together_are_not_counted_again(world: LiveWorld) -> None:
    for i in range(4):
        world.write(world.answers(START + i * HOUR, 60))
        compact(world.log, clock=lambda: from_micros(world.now))
        world.at(i + 1).tick()
    before = counted(world)
    done = compact(world.log, clock=lambda: from_micros(world.now + 48 * HOUR))
    assert done.merged == 4
    assert world.tick().taken.rows == 0
    assert counted(world) == before


def test_the_file_is_made_again_with_the_same_digests(world: LiveWorld) -> None:
    for i in range(3):
        world.write(world.answers(START + i * HOUR, 60))
        world.at(i + 1).tick()
        if i == 1:
            compact(world.log, clock=lambda: from_micros(world.now))
    before, events = counted(world), world.judged()
    for file in world.folder.glob("watch.db*"):
        file.unlink()
    assert world.tick().arrived == 0  # the ledger says so
    assert world.judged() == events
    assert counted(world) == before
    said = {e.subject: e.payload["digest"] for e in events if e.payload["side"] == "arrived"}
    assert {name: found[1] for name, found in before.items()} == said


def test_two_at_once_one_does_it(world: LiveWorld) -> None:
    world.write(world.answers(START, 60))
    world.at(1)
    other = Lease(world.folder / LOCK)
    assert other.held()
    assert world.tick().busy and world.judged() == []
    other.free()
    assert world.tick().arrived == 1


def test_what_is_older_than_it_is_kept_is_forgotten_with_its_release(tmp_path: Path) -> None:
    world = LiveWorld(tmp_path / ".headrace", replace(WINDOW, keep_us=48 * HOUR))
    world.write(world.answers(START, 60))
    world.at(1).tick()
    world.promote(replace(WINDOW, keep_us=48 * HOUR), "r2")
    world.write(world.answers(START + 50 * HOUR, 60, release="r2"))
    world.at(51).tick()
    with world.file() as file:
        assert list(file.streams().values()) == [("r2", "champion")]
        assert [k.release for k in file.windows()] == ["r2"]
    assert world.tick().arrived == 0 and len(world.told()) == 2


def test_another_machine_that_judges_meanwhile_keeps_this_one_from_it(world: LiveWorld) -> None:
    world.write(world.answers(START, 60))
    again: list[Judged] = []

    def alert(judged: Judged) -> list[Draft]:
        if not again:
            again.append(judged)
            event = world_event(judged)
            world.store.append([event])  # the ledger moves between the readings and the append
        return []

    done = world.at(1).tick(hooks=Hooks(alert))
    assert len(world.judged()) == 1 and world.judged()[0].actor == "elsewhere"
    assert done.exceeding == 0


def world_event(judged: Judged) -> Draft:
    w = judged.window
    payload = {
        "release": w.release, "arm": w.arm, "side": judged.side.value, "start": w.start, "end": w.end,
        "rows": w.rows, "digest": judged.facts.tallied.digest,
    }  # fmt: skip
    return Draft("window.judged", w.name, "2026-03-02T01:00:00.000000Z", "elsewhere", payload)


def test_alerts_stand_in_the_ledger_with_their_window_or_not_at_all(world: LiveWorld) -> None:
    world.write(world.answers(START, 60, release="", by="fallback: value (timeout)"))
    seen: list[tuple[Side, list[Reading]]] = []

    def alert(judged: Judged) -> list[Draft]:
        seen.append((judged.side, list(judged.exceeding)))
        return [Draft("run.noted", "x", "2026-03-02T01:00:00.000000Z", "me", {"note": judged.window.name})]

    after: list[int] = []
    world.at(1).tick(hooks=Hooks(alert, lambda: after.append(1)))
    assert after == [1] and seen[0][0] is Side.ARRIVED
    assert {r.check for r in seen[0][1]} == {"errors", "fallback"}
    noted, judged = (list(world.store.read(kinds=[k])) for k in ("run.noted", "window.judged"))
    assert [e.seq for e in noted] == [e.seq + 1 for e in judged]


MOST_DEATHS = 20


class Killed(BaseException):
    """As if the process had died here."""


@pytest.mark.parametrize("at", range(1, 60, 4))
def test_killed_at_any_moment_nothing_is_lost_and_nothing_done_twice(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    writer = world.writer()
    world.append(writer, world.answers(START, 60))
    world.write(world.answers(START + HOUR, 60))
    compact(world.log, clock=lambda: from_micros(world.now))
    world.write(world.answers(START + HOUR, 60))
    steps, deaths = [0], 0
    real_run, real_append = WatchFile.run, type(world.store).append

    def step() -> None:
        steps[0] += 1
        if steps[0] % at == 0 and deaths < MOST_DEATHS:
            raise Killed

    def run(self: WatchFile, *args: Any) -> int:
        step()
        done = real_run(self, *args)
        step()
        return done

    def append(self: Any, *args: Any, **kwargs: Any) -> Any:
        step()
        done = real_append(self, *args, **kwargs)
        step()
        return done

    monkeypatch.setattr(WatchFile, "run", run)
    monkeypatch.setattr(type(world.store), "append", append)
    while True:
        try:
            world.at(5).tick()
        except Killed:
            deaths += 1
        else:
            break
    writer.close()
    assert deaths >= 1
    assert sorted(world.told()) == [("champion", 0, 1, 60), ("champion", 1, 2, 120)]
    assert sorted(world.told("labelled")) == sorted(world.told())
    assert [c[0] for c in counted(world).values()] == [60, 120]
    assert {c[1] for c in counted(world).values()} == {e.payload["digest"] for e in world.judged()}


def test_a_windows_rows_are_read_once_for_all_that_ask(
    world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(world.answers(START, 300))
    read: list[int | None] = []

    def counted_rows(*args: Any) -> LiveRows:
        read.append(args[-1])
        return live_rows(*args)

    def asks(*numbers: int | None) -> Any:
        def check(facts: Facts) -> list[Reading]:
            return [Reading(Family.DRIFT, f"{most}", n=facts.rows(most).rows) for most in numbers]

        return (Family.DRIFT, check)

    def alert(judged: Judged) -> list[Draft]:
        assert judged.facts.rows(20).rows == 20  # an explanation looks at some of them, too
        return []

    monkeypatch.setattr(tick_room, "live_rows", counted_rows)
    checks = {Side.ARRIVED: [asks(50), asks(MOST, 100)], Side.LABELLED: [asks(None, 50)]}
    world.at(3).tick(checks=checks, hooks=Hooks(alert))
    assert read == [MOST, None], "once when it is over, and all of them when labels are due"
    assert {f.reading.check: f.reading.n for f in told(world)} == {
        "50": 50,
        f"{MOST}": 300,
        "100": 100,
        "None": 300,
    }


def test_a_long_pause_is_made_up_for_window_by_window(world: LiveWorld) -> None:
    for i in range(40):
        world.write(world.answers(START + i * HOUR, 60))
    told: list[tuple[str, int, int]] = []
    done = world.at(40).tick(progress=lambda *step: told.append(step))
    assert done.arrived == 40
    assert ("segments of the log", 40, 40) in told and ("windows judged", 40, 0) in told


def test_an_outage_is_told_once_though_nothing_came(world: LiveWorld) -> None:
    for i in range(12):
        world.write(world.answers(START + i * HOUR, 200))
    world.at(12).tick()
    assert len(world.told()) == 12
    for hour in (13, 14, 15):
        world.at(hour).tick()
    assert world.told()[12:] == [("champion", 12, 13, 0)]
    found = [f.reading for f in told(world, check="volume") if f.window.rows == 0]
    assert len(found) == 1 and found[0].exceeds and "were to be expected" in found[0].where
    world.write(world.answers(START + 20 * HOUR, 200))
    world.at(21).tick()
    assert world.told()[13:] == [("champion", 20, 21, 200)]


def test_silence_is_a_fault_where_a_bound_is_stated(tmp_path: Path) -> None:
    health = replace(WINDOW.health, silent_us=HOUR // 2)
    world = LiveWorld(tmp_path / ".headrace", replace(WINDOW, health=health))
    world.write(world.answers(START, 60))
    world.at(2).tick()
    assert world.told() == [("champion", 0, 1, 60), ("champion", 1, 2, 0)]
    silent = [f.reading for f in told(world, check="silent")]
    assert [r.exceeds for r in silent] == [False, True]


def silent_in(folder: Path) -> LiveWorld:
    """A world in which half an hour without an answer is a fault; three hours were answered."""
    plan = replace(WINDOW, health=replace(WINDOW.health, silent_us=HOUR // 2))
    world = LiveWorld(folder / ".headrace", plan)
    for i in range(3):
        world.write(world.answers(START + i * HOUR, 200))
        world.at(i + 1).tick()
    return world


def silence_told(world: LiveWorld) -> list[tuple[str, int, bool]]:
    """Release, first hour, and whether it is a fault."""
    found = told(world, check="silent")
    return sorted(
        (f.window.release, (f.window.start - START) // HOUR, f.reading.exceeds)
        for f in found
        if f.window.start >= START + 3 * HOUR
    )


def test_an_outage_that_begins_with_a_promotion_is_the_new_champions(tmp_path: Path) -> None:
    world = silent_in(tmp_path)
    world.promote(Shelf(world.store)("r1").plan, "r2")
    for hour in range(4, 8):
        world.at(hour).tick()
    assert world.told()[3:] == [("champion", 3, 4, 0)]
    assert silence_told(world) == [("r2", 3, True)]
    world.write(world.answers(START + 8 * HOUR, 200, release="r2"))
    world.at(9).tick()
    assert world.told()[4:] == [("champion", 8, 9, 200)]


def test_a_service_that_never_answered_is_in_no_outage(tmp_path: Path) -> None:
    plan = replace(WINDOW, health=replace(WINDOW.health, silent_us=HOUR // 2))
    world = LiveWorld(tmp_path / ".headrace", plan)
    world.write(world.answers(START, 200, arm="batch", route="batch"))
    for hour in range(1, 4):
        world.at(hour).tick()
    assert world.told() == [("batch", 0, 1, 200)]


def test_a_promotion_within_a_window_is_no_silence_and_the_service_is_judged_once(tmp_path: Path) -> None:
    world = silent_in(tmp_path)
    sixth = HOUR // 6
    world.write(world.answers(START + 3 * HOUR, 100, span=sixth))
    world.now = START + 3 * HOUR + sixth
    world.promote(Shelf(world.store)("r1").plan, "r2")
    world.write(world.answers(START + 3 * HOUR + sixth, 500, span=5 * sixth, release="r2"))
    world.at(4).tick()
    assert world.told()[3:] == [("champion", 3, 4, 100), ("champion", 3, 4, 500)]
    assert silence_told(world) == [("r2", 3, False)]
    volumes = [f for f in told(world, check="volume") if f.window.start == START + 3 * HOUR]
    assert [(f.window.release, f.reading.n) for f in volumes] == [("r2", 600)]


def test_a_canary_that_takes_all_is_no_silence_and_its_outage_is_seen(tmp_path: Path) -> None:
    world = silent_in(tmp_path)
    world.promote(WINDOW, "r2", champion=False)
    world.write(world.answers(START + 3 * HOUR, 100, span=HOUR // 6))
    world.write(world.answers(START + 3 * HOUR, 500, release="r2", arm="canary"))
    for hour in range(4, 10):
        world.write(world.answers(START + hour * HOUR, 500, release="r2", arm="canary"))
        world.at(hour).tick()
    world.at(10).tick()
    assert silence_told(world) == [("r1", 3, False)]
    for hour in range(11, 14):
        world.at(hour).tick()
    # From the newest span in which anybody answered: the days before say nothing of the outage.
    assert silence_told(world) == [("r1", 3, False), ("r1", 9, True)]


def test_what_the_service_failed_at_and_what_it_costs_is_of_all_its_arms(tmp_path: Path) -> None:
    plan = replace(WINDOW, prices=Prices(machine_hour=0.4, unit="EUR"))
    world = LiveWorld(tmp_path / ".headrace", plan)
    world.promote(WINDOW, "r2", champion=False)
    seen: dict[str, int] = {"200": 0, "500": 0}
    world.tick(servers=lambda: {"one": Look(dict(seen), 1)})
    world.write(world.answers(START, 100))
    world.write(world.answers(START, 900, release="r2", arm="canary"))
    seen.update({"200": 1000, "500": 5})
    world.now = START + HOUR - 1
    world.tick(servers=lambda: {"one": Look(dict(seen), 1)})
    world.at(1).tick()
    found = {(f.window.arm, f.reading.check): f.reading for f in told(world)}
    failed = found["champion", "errors"]
    assert failed.value == pytest.approx(5 / 1005) and not failed.exceeds
    assert found["champion", "per_1000"].value == pytest.approx(0.4)
    assert found["canary", "errors"].value == 0


def test_what_came_for_a_span_that_was_passed_over_is_told_as_late(world: LiveWorld) -> None:
    for hour in (0, 2):
        world.write(world.answers(START + hour * HOUR, 100))
        world.at(hour + 1).tick()
    world.write(world.answers(START + HOUR, 500))
    world.write(world.answers(START, 3))
    done = world.tick()
    assert (done.late, done.arrived) == (503, 0)
    world.write(world.answers(START + 3 * HOUR, 100))
    assert world.at(4).tick().late == 0
    assert world.told() == [("champion", hour, hour + 1, 100) for hour in (0, 2, 3)]


def test_counts_of_machines_with_logs_of_their_own_add_up(tmp_path: Path) -> None:
    def counted_by(name: str, *parts: list[Any]) -> Any:
        world = LiveWorld(tmp_path / name / ".headrace")
        for part in parts:
            world.write(part)
        world.at(1).tick()
        with world.file() as file:
            (kept,) = file.windows("w.arrived > 0")
            return tallied(file, file.stream(kept.release, kept.arm), window_of(kept))

    made = LiveWorld(tmp_path / "any" / ".headrace")
    mine, theirs = made.answers(START, 70), made.answers(START, 60, took_us=77)
    one, two = counted_by("one", mine), counted_by("two", theirs)
    both = counted_by("both", mine, theirs)
    assert (one + two).digest == (two + one).digest == both.digest
    assert (one + two).window.rows == 130 and one.digest != both.digest
    with pytest.raises(ValueError, match="two windows"):
        one + replace(two, window=replace(two.window, start=0))
