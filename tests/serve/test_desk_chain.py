"""Who answers when a release can't: the champion, a rule, a constant; in time, and never for bad input."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from desk_world import Kept, ask, canary, desk, planned, served
from serve_releases import Release, requests
from test_answer import ROW

from headrace.core.errors import DataError, HeadraceError, NoAnswer, UserCodeError
from headrace.core.routes import Arm, Role
from headrace.core.schema import Type
from headrace.core.spec.serve import Rule
from headrace.release.plan import Plan
from headrace.serve.desk import chain
from headrace.serve.desk.breaker import Circuit
from headrace.serve.desk.desk import Asked
from headrace.serve.http.metrics import desk_gauges
from headrace.serve.live import Served

QUICK = Plan(deadline_us=1_000_000)


def failing(of: Served, error: Exception) -> Served:
    """The same, but the owner's code raises."""
    around = _copy(of)

    def begin(taken: Any) -> Any:
        raise error

    around.begin = begin
    return replace(of, around=around)


def hanging(of: Served, gate: threading.Event) -> Served:
    """The same, but the owner's code waits."""
    around = _copy(of)
    begin = around.begin

    def wait(taken: Any) -> Any:
        gate.wait(60)
        return begin(taken)

    around.begin, around.blocks = wait, True
    return replace(of, around=around)


def _copy(of: Served) -> Any:
    around = object.__new__(type(of.around))
    around.__dict__.update(of.around.__dict__)
    return around


def test_the_champion_answers_for_an_arm_that_fails(binary: Release) -> None:
    log = Kept()
    bad = failing(served(binary, name="new"), UserCodeError("it raised"))
    there = desk(served(binary), bad, arms=[canary("new")], log=log)
    (answer,) = ask(there, [ROW])
    assert (answer["release"], answer["arm"], answer["fallback"]) == ("r7", "canary", True)
    assert answer["by"] == "fallback: champion (error)"
    assert answer["probability"] == ask(desk(served(binary)), [ROW])[0]["probability"]
    assert (log.entries[0].release, log.entries[0].arm) == ("r7", "canary")
    assert there.counts.failures == {"new": 1}


@pytest.mark.parametrize("error", [HeadraceError("the graph failed"), ZeroDivisionError("ours")])
def test_rules_and_constants_answer_when_no_release_can(binary: Release, error: Exception) -> None:
    manifest = planned(binary, fallback=("distance > 500", False))
    there = desk(failing(served(binary, manifest), error))
    rows = [ROW, {**ROW, "distance": 100.0}, {**ROW, "distance": None}]
    told = ask(there, rows)
    assert [a["prediction"] for a in told] == [True, False, False]
    assert [a["by"] for a in told] == [
        *("fallback: rule (error)", "fallback: rule (error)", "fallback: value (error)")
    ]
    assert all(a["release"] is None and a["fallback"] and a["probability"] is None for a in told)


def test_without_a_fallback_all_reasons_are_told(binary: Release, caplog: pytest.LogCaptureFixture) -> None:
    """Callers hear which failed; what their owner's code says may hold anything, and goes to a log."""
    bad = failing(served(binary), UserCodeError("no such road", where="f.py:3"))
    with pytest.raises(NoAnswer) as refused:
        ask(desk(bad), [ROW])
    assert [str(p) for p in refused.value.problems] == [
        "the release r7 failed\n  fix: the server's log says why"
    ]
    assert "r7 failed: f.py:3: no such road" in caplog.text
    other = failing(served(binary, name="new"), ZeroDivisionError())
    with pytest.raises(NoAnswer) as refused:
        ask(desk(bad, other, arms=[canary("new")]), [ROW])
    assert [p.what for p in refused.value.problems] == ["the release new failed", "the release r7 failed"]


def test_bad_input_is_no_reason_to_fall_back(binary: Release) -> None:
    there = desk(served(binary, planned(binary, fallback=(False,))))
    for row in ({**ROW, "distance": "far"}, {**ROW, "who": 1}, {}, 5, None):
        with pytest.raises(DataError):
            ask(there, [row])  # type: ignore[list-item]  # what a caller may send
    assert there.counts.failures == {} and there.counts.unanswered == 0


def test_who_names_a_release_gets_that_or_nothing(binary: Release) -> None:
    bad = failing(served(binary, name="new"), UserCodeError("it raised"))
    there = desk(served(binary, planned(binary, fallback=(False,))), bad)
    with pytest.raises(NoAnswer):
        ask(there, [ROW], release="new")
    assert ask(there, [ROW], release="r7")[0]["arm"] == "asked"


def test_an_arm_that_is_not_loaded(binary: Release) -> None:
    (answer,) = ask(desk(served(binary), arms=[canary("gone")]), [ROW])
    assert answer["by"] == "fallback: champion (not loaded)"


def test_a_release_that_fails_again_and_again_is_not_asked(binary: Release) -> None:
    bad = failing(served(binary, name="new"), UserCodeError("it raised"))
    there = desk(served(binary), bad, arms=[canary("new")])
    by = [ask(there, [ROW])[0]["by"] for _ in range(8)]
    assert by == ["fallback: champion (error)"] * 5 + ["fallback: champion (circuit open)"] * 3
    assert there.chain.breaker("new").circuit is Circuit.OPEN
    assert there.counts.failures == {"new": 5}


def test_the_deadline_holds_for_a_release_that_hangs(binary: Release) -> None:
    """Its callers get the champion's answer while it still hangs; who asks another waits for nothing."""
    gate = threading.Event()
    plan = Plan(deadline_us=4_000_000)
    slow = hanging(served(binary, planned(binary, plan), name="new"), gate)
    there = desk(served(binary, planned(binary, plan)), slow, arms=[canary("new")])

    async def run() -> list[Any]:
        asked = [asyncio.create_task(there.answer([ROW], Asked(perf_counter()))) for _ in range(12)]
        await asyncio.sleep(0)
        (direct,) = await there.answer([ROW], Asked(perf_counter(), release="r7"))
        assert direct["by"] == "model" and not any(a.done() for a in asked)
        return [a for (a,) in await asyncio.gather(*asked)]

    try:
        told = asyncio.run(run())
        assert not gate.is_set()
    finally:
        gate.set()
    assert {a["by"] for a in told} == {"fallback: champion (timeout)"}
    assert there.chain.breaker("new").circuit is Circuit.OPEN


def test_a_hanging_champion_leaves_time_for_the_fallback(binary: Release) -> None:
    gate = threading.Event()
    manifest = planned(binary, QUICK, fallback=(True,))
    there = desk(hanging(served(binary, manifest), gate))
    try:
        (answer,) = ask(there, [ROW])
        assert (answer["by"], answer["prediction"]) == ("fallback: value (timeout)", True)
    finally:
        gate.set()


def test_whose_time_is_up_is_not_the_release_s_fault(binary: Release) -> None:
    gate = threading.Event()
    gate.set()
    there = desk(hanging(served(binary, planned(binary, QUICK, fallback=(True,))), gate))
    for _ in range(8):
        (answer,) = ask(there, [ROW], started=perf_counter() - 5)
        assert answer["by"] == "fallback: value (deadline)"
    assert there.chain.breaker("r7").circuit is Circuit.CLOSED


def test_who_was_left_too_little_time_by_another_is_not_to_blame(binary: Release) -> None:
    """A canary hangs; the champion would have taken longer than what that leaves, and is sound."""
    gate = threading.Event()
    plan = planned(binary, Plan(deadline_us=300_000), fallback=(True,))
    there = desk(
        hanging(served(binary, plan), gate),
        hanging(served(binary, plan, name="new"), gate),
        arms=[canary("new")],
    )
    try:
        for _ in range(6):
            (answer,) = ask(there, [ROW])
            assert answer["by"].startswith("fallback: value")
    finally:
        gate.set()
    assert there.chain.breaker("new").circuit is Circuit.OPEN
    assert there.counts.failures["new"] == 5
    assert there.counts.failures.get("r7", 0) <= 1  # the sixth request asks it at once, and waits in vain


def test_rows_that_nobody_had_the_time_to_read_are_not_said_not_to_fit(binary: Release) -> None:
    there = desk(served(binary, planned(binary, QUICK, fallback=(True,))))
    told = ask(there, requests(300), started=perf_counter() - 5)
    assert {a["by"] for a in told} == {"fallback: value (deadline)"}


def test_arms_may_ask_for_other_columns(binary: Release) -> None:
    """A canary with a column of its own: callers who don't send it yet are not refused, nor are those who do
    by the champion."""
    keys = {**binary.serving.keys, "ticket": Type.TEXT}
    manifest = replace(binary.manifest, serving=replace(binary.serving, keys=keys))
    new = served(binary, manifest, name="new")
    for arms in ([canary("new")], [canary("new", 0.0)]):
        there = desk(served(binary), new, arms=arms)
        known = there.live.scene.known
        assert known >= {"ticket", *ROW} and known is there.live.scene.known, "it is put together once"
        (without,), (with_,) = ask(there, [ROW]), ask(there, [{**ROW, "ticket": "T1"}])
        assert with_["flags"] == () and without["prediction"] == with_["prediction"]
        assert without["flags"] == (("missing: ticket",) if arms[0].share else ())
    with pytest.raises(DataError):
        ask(desk(served(binary), new, arms=[canary("new")]), [{**ROW, "colour": "red"}])
    with pytest.raises(DataError):
        ask(desk(served(binary), new, arms=[canary("new")]), [{k: ROW[k] for k in ROW if k != "seats"}])


def test_shadows_answer_afterwards(binary: Release) -> None:
    log = Kept()
    shadow = Arm("dark", 1.0, Role.SHADOW)
    there = desk(served(binary), served(binary, name="dark"), arms=[shadow], log=log)

    async def run() -> list[Any]:
        told = await there.answer([ROW, ROW], Asked(perf_counter()))
        assert [e.arm for e in log.entries] == ["champion", "champion"]
        while there.counts.shadows < 2:
            await asyncio.sleep(0.001)
        return told

    told = asyncio.run(run())
    assert {a["arm"] for a in told} == {"champion"}
    beside = log.entries[2:]
    assert [(e.release, e.arm, e.of) for e in beside] == [("dark", "shadow", a["id"]) for a in told]
    assert beside[0].answer["probability"] == told[0]["probability"]


def test_shadows_that_hang_are_dropped(binary: Release) -> None:
    gate = threading.Event()
    dark = hanging(served(binary, planned(binary, QUICK), name="dark"), gate)
    there = desk(served(binary), dark, arms=[Arm("dark", 1.0, Role.SHADOW)])

    async def run() -> None:
        for _ in range(400):
            await there.answer([ROW], Asked(perf_counter()))
        assert there.counts.shadows_dropped >= 400 - 256
        until = perf_counter() + 20
        while there.counts.shadows_dropped < 400 and perf_counter() < until:
            await asyncio.sleep(0.01)

    try:
        asyncio.run(run())
    finally:
        gate.set()
    assert (there.counts.shadows, there.counts.shadows_dropped) == (0, 400)


def test_of_a_large_request_as_many_rows_are_shadowed_as_may_wait(binary: Release) -> None:
    log = Kept()
    there = desk(served(binary), served(binary, name="dark"), arms=[Arm("dark", 1.0, Role.SHADOW)], log=log)

    async def run() -> None:
        await there.answer(requests(300), Asked(perf_counter()))
        while there.counts.shadows < 256:
            await asyncio.sleep(0.001)

    asyncio.run(run())
    assert (there.counts.shadows, there.counts.shadows_dropped) == (256, 44)
    assert sum(e.arm == "shadow" for e in log.entries) == 256
    told = {g.name: g.of() for g in desk_gauges(there)}
    assert told == {
        "headrace_rows_unanswered": 0,
        "headrace_shadow_rows": 256,
        "headrace_shadow_rows_dropped": 44,
        "headrace_release_failures": 0,
    }


def test_large_requests_and_small_ones_agree(binary: Release) -> None:
    there, rows = desk(served(binary)), requests(200)
    told = ask(there, rows)
    for row, answer in zip(rows[:20], told, strict=False):
        assert abs(ask(there, [row])[0]["probability"] - answer["probability"]) < 1e-12
    assert len({a["id"] for a in told}) == 200 and ask(there, []) == []


def test_units_stay_with_their_arm(binary: Release) -> None:
    champion = served(binary, planned(binary, Plan(unit="tail")))
    there = desk(champion, served(binary, planned(binary, Plan(unit="tail")), name="new"),
                 arms=[canary("new", 0.5)])  # fmt: skip
    rows = [{**ROW, "tail": t} for t in range(200)]
    arms = [a["arm"] for a in ask(there, rows)]
    assert arms == [ask(there, [{**row, "tail": float(row["tail"])}])[0]["arm"] for row in rows]
    assert 60 < arms.count("canary") < 140


def test_rows_that_do_not_fit_are_told_together_whichever_arm_they_drew(binary: Release) -> None:
    """By their numbers in the request, and before anybody is asked."""
    manifest, asked = planned(binary, Plan(unit="tail")), []
    there = desk(
        *(_noting(served(binary, manifest, name=name), asked) for name in ("r7", "new")),
        arms=[canary("new", 0.5)],
        log=(log := Kept()),
    )
    rows = [{**ROW, "tail": t} for t in range(12)]
    arms = [a["arm"] for a in ask(there, rows)]
    seen = len(asked), len(log.entries)
    odd = {i: {**rows[i], "distance": "far"} for i in (2, 5, 7, 11)}
    assert {arms[i] for i in odd} == {"champion", "canary"}, "both arms have such a row"
    odd[9] = {**rows[9], "who": 1}
    with pytest.raises(DataError) as refused:
        ask(there, [odd.get(i, row) for i, row in enumerate(rows)])
    wheres = [p.where for p in refused.value.problems]
    assert wheres == [f"rows[{i}].{'who' if i == 9 else 'distance'}" for i in sorted(odd)]
    assert (len(asked), len(log.entries)) == seen

    # The only row of its arm is no less one of many.
    one = arms.index("canary"), arms.index("champion")
    with pytest.raises(DataError) as refused:
        ask(there, [rows[one[0]], {**rows[one[1]], "distance": "far"}])
    assert [p.where for p in refused.value.problems] == ["rows[1].distance"]
    with pytest.raises(DataError) as refused:
        ask(there, [*rows[:4], 5])  # type: ignore[list-item]  # what a caller may send
    assert [p.where for p in refused.value.problems] == ["rows[4]"]


def _noting(of: Served, asked: list[str]) -> Served:
    """The same, noting when it is asked."""
    around = _copy(of)
    begin = around.begin

    def noting(taken: Any) -> Any:
        asked.append(of.release)
        return begin(taken)

    around.begin = noting
    return replace(of, around=around)


def explaining(of: Served, gate: threading.Event, begun: threading.Event) -> Served:
    """The same, but reasons take until the gate is open; `begun` is set when the first are asked for."""
    around = _copy(of)
    decide = around.decide

    def wait(feeds: Any, rows: int, *, explain: int = 0) -> Any:
        if explain:
            begun.set()
            gate.wait(60)
        return decide(feeds, rows)

    around.decide = wait
    return replace(of, around=around)


def test_batches_wait_for_no_reasons(binary: Release) -> None:
    gate, begun = threading.Event(), threading.Event()
    there = desk(explaining(served(binary, planned(binary, Plan(deadline_us=20_000_000))), gate, begun))

    async def run() -> None:
        asked = [asyncio.create_task(there.answer([ROW], Asked(perf_counter(), explain=5))) for _ in range(4)]
        while not begun.is_set():
            await asyncio.sleep(0.01)
        told = await there.answer(requests(300), Asked(perf_counter()))
        assert {a["by"] for a in told} == {"model"}, "answered within its deadline, the gate still closed"
        gate.set()
        assert all(a["by"] == "model" for (a,) in await asyncio.gather(*asked))

    try:
        asyncio.run(run())
    finally:
        gate.set()


def test_reasons_that_waited_for_others_are_not_the_release_s_fault(
    binary: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that ran count; those before whose turn the time was up open no circuit."""
    monkeypatch.setattr(chain, "EXPLAINED", 2.0)
    gate = threading.Event()
    there = desk(explaining(served(binary, planned(binary, fallback=(True,))), gate, threading.Event()))

    async def run() -> list[Any]:
        asked = [there.answer([ROW], Asked(perf_counter(), explain=5)) for _ in range(8)]
        return [a["by"] for (a,) in await asyncio.gather(*asked)]

    try:
        by = asyncio.run(run())
    finally:
        gate.set()
    # The first has filled in what the model reads when the others' turn comes: one of them runs and hangs.
    assert sorted(by) == ["fallback: value (deadline)"] * 7 + ["fallback: value (timeout)"]
    assert there.counts.failures == {"r7": 1}
    assert there.chain.breaker("r7").circuit is Circuit.CLOSED


def test_rules_before_the_model_hold_where_it_fails(binary: Release) -> None:
    """A block-list is no less one because the model is down."""
    rule = Rule(name="far", when="distance > 2000", answer=True)
    far = {**ROW, "distance": 2400.0}
    for fallback in ((), (False,)):
        there = desk(
            failing(served(binary, planned(binary, before=[rule], fallback=fallback)), ZeroDivisionError())
        )
        (answer,) = ask(there, [far])
        assert (answer["by"], answer["prediction"], answer["fallback"]) == ("rule: far", True, False)
        assert there.counts.failures == {}
        if fallback:
            told = ask(there, [ROW, far])
            assert [a["by"] for a in told] == ["fallback: value (error)", "rule: far"]
        else:
            with pytest.raises(NoAnswer):
                ask(there, [ROW, far])
