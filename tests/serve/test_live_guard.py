"""The guard, tick by tick: what it reads, what it does in the ledger, what it leaves, and who may act."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canary_world import events
from served import wait_until

from headrace.core.answered import Answered
from headrace.core.clock import iso
from headrace.core.errors import StoreError
from headrace.core.event import Draft
from headrace.core.routes import Route
from headrace.core.views import State
from headrace.logs.labels import LabelBook
from headrace.logs.tail import Tail
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.serve.guard import Guardian, left_standing
from headrace.serve.guarded import Tally, failed, score, seen, windows
from headrace.stores import EmbeddedStore
from headrace.stores.lease import Lease

World = tuple[Project, str, str]
Answer = Callable[[str, np.random.Generator], dict[str, Any]]


def fine(arm: str, rng: np.random.Generator) -> dict[str, Any]:
    return {}


class Ticking:
    """A guard on a project, and time that passes when it is told to."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.moment = datetime.now(UTC) + timedelta(seconds=1)
        project._clock = lambda: self.moment
        self.tally = Tally()
        folder = project.root / ".headrace"
        self.guard = Guardian(
            project.store, folder, lambda _: self.tally, project.route_verbs, lambda: self.moment
        )
        self.rng = np.random.default_rng(0)
        self.count = 0

    def pass_by(
        self, seconds: float, release: str, share: float, answer: Answer = fine, rate: int = 100
    ) -> None:
        """Answers come, and the guard looks four times a second."""
        for _ in range(int(seconds * 4)):
            entries = [self.entry(release, share, answer, rate) for _ in range(rate // 4)]
            self.tally.append(entries, lambda error: None)
            self.guard.tick()

    def entry(self, release: str, share: float, answer: Answer, rate: int) -> Answered:
        self.moment += timedelta(seconds=1 / rate)
        self.count += 1
        arm = "canary" if self.rng.random() < share else "champion"
        told: dict[str, Any] = {
            "by": "model",
            "took_us": int(np.exp(self.rng.normal(7, 0.3))),
            "answer": {"prediction": True, "probability": float(self.rng.beta(2, 5))},
        }
        told |= answer(arm, self.rng)
        time = int(self.moment.timestamp() * 1e6)
        return Answered(
            id=f"{self.count:032x}", time=time, route="default", release=release if arm == "canary" else "a",
            arm=arm, unit="", inputs={}, **told,
        )  # fmt: skip


def test_a_ramp_is_walked_and_ends_in_a_promotion(canaried: World) -> None:
    project, champion, challenger = canaried
    there = Ticking(project)
    project.set_route(canary=challenger, ramp=(0.25, 1), bake="20 s")
    there.pass_by(19, challenger, 0.25)
    assert events(project.root, "route.moved") == []
    told = left_standing(project.root / ".headrace", there.moment)["default"]
    assert told["next"].startswith("25% is held for")
    assert {j["outcome"] for j in told["judged"]} == {"pass"}
    there.pass_by(2, challenger, 0.25)
    assert [e.payload["shares"] for e in events(project.root, "route.moved")] == [{challenger: 1}]
    there.pass_by(22, challenger, 1.0)
    state = project.releases()
    assert state.champion.release == challenger  # type: ignore[union-attr]  # there is one
    assert state.releases[champion].state is State.RETIRED
    assert state.reigns[-1].by == "guard"
    outcomes = [e.payload["outcome"] for e in events(project.root, "route.judged")]
    assert outcomes == ["pass"] * 4 + ["pass", "pass", "not applicable", "not applicable"]
    there.pass_by(1, challenger, 0.0)
    assert left_standing(project.root / ".headrace", there.moment) == {}


def test_a_promotion_that_is_refused_leaves_the_canary_and_is_told_once(canaried: World) -> None:
    project, _, challenger = canaried
    there = Ticking(project)
    project.set_route(canary=challenger, ramp=(0.5,), bake="3 s")
    there.pass_by(6, challenger, 0.5)
    assert (
        "the ramp ends at 50%" in left_standing(project.root / ".headrace", there.moment)["default"]["next"]
    )
    project.set_route(canary=(challenger, 1.0), ramp=(1.0,), bake="3 s")
    # Somebody promotes another release meanwhile: the challenger was never compared with it.
    view = project.releases().releases[challenger]
    now = iso(there.moment)
    drafts = [Draft("release.made", "other", now, "x", {"manifest": view.manifest, "run": ""})]
    project.store.append([*drafts, Draft("release.promoted", "other", now, "x", {})])
    there.pass_by(20, challenger, 1.0)
    told = left_standing(project.root / ".headrace", there.moment)["default"]["next"]
    assert "not promoted" in told
    assert "has not been compared with the champion other" in told
    assert project.releases().champion.release == "other"  # type: ignore[union-attr]  # there is one
    assert len(events(project.root, "route.judged")) == 4, "written down once"


@pytest.mark.parametrize("why", ["error", "timeout", "circuit open"])
def test_a_canary_that_fails_is_taken_off_also_while_its_ramp_is_paused(canaried: World, why: str) -> None:
    project, _, challenger = canaried
    there = Ticking(project)
    project.set_route(canary=challenger, ramp=(0.25, 1), bake="1 h")
    project.pause_route()
    there.pass_by(5, challenger, 0.25)

    def answer(arm: str, rng: np.random.Generator) -> dict[str, Any]:
        return {"by": f"fallback: champion ({why})", "answer": {}} if arm == "canary" else {}

    there.pass_by(4, challenger, 0.25, answer)
    (event,) = events(project.root, "route.rolled_back")
    assert event.payload["release"] == challenger
    assert event.payload["reason"].startswith("error_share <= 1%: ")
    assert project.routes()["default"].arms == ()


def test_worth_is_learned_from_labels(canaried: World) -> None:
    project, _, challenger = canaried
    there = Ticking(project)
    project.set_route(canary=(challenger, 0.5), guardrails=["value >= 0.5 * champion"])
    book = LabelBook(project.log_folder, clock=there.project._clock)

    def known(number: int, right: Callable[[Answered], bool]) -> list[Any]:
        """So many answers, and their truths; how the guardrail stands."""
        log = LogWriter(project.log_folder, worker=f"w{there.count}", clock=there.project._clock)
        made = [there.entry(challenger, 0.5, fine, 100) for _ in range(number)]
        log.append(made, lambda error: None)
        log.close()
        there.moment += timedelta(seconds=6)
        book.take([{"id": e.id, "label": right(e)} for e in made])
        there.guard.tick()
        (told,) = left_standing(project.root / ".headrace", there.moment)["default"]["judged"]
        return [told["outcome"], told["value"], told["champion"]]

    there.guard.tick()
    (told,) = left_standing(project.root / ".headrace", there.moment)["default"]["judged"]
    assert (told["outcome"], told["rows"]) == ("unknown", 0), "nothing was answered yet"
    there.moment += timedelta(seconds=6)
    assert known(1000, lambda e: True) == ["pass", 4000.0, 4000.0]
    assert known(0, lambda e: True) == ["pass", 4000.0, 4000.0], "each truth counts once"
    assert known(2000, lambda e: e.arm == "champion")[0] == "fail"
    (event,) = events(project.root, "route.rolled_back")
    assert event.payload["reason"].startswith("value >= 0.5 * champion")


class Shaky(EmbeddedStore):
    """A ledger that can't be read for a while."""

    breaks = False

    def head(self) -> tuple[int, str]:
        if self.breaks:
            raise StoreError("the ledger is busy")
        return super().head()


class Hesitant:
    """Verbs that can't write for a while; they keep what was asked of them."""

    def __init__(self) -> None:
        self.breaks = False
        self.moved: list[str] = []

    def roll_back(self, route: str, *_: object) -> None:
        raise AssertionError("nothing is to be taken off here")

    def move(self, route: Route, *_: object) -> None:
        if self.breaks:
            raise StoreError("the disk is full")
        self.moved.append(route.name)

    def promote(self, *_: object) -> str:
        return ""

    def worth(self, release: str) -> Any:
        raise AssertionError("no guardrail asks for it")


class Stumbling:
    """A guard in its own thread over a ledger, a log and verbs that fail when they are told to. Two routes
    have the canary b, each with its own traffic."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.verbs = folder, Shaky(folder), Hesitant()
        self.moment = datetime.now(UTC)
        self.log = LogWriter(folder / "log", worker="w", mode="buffered", window_us=1000)
        ramp = {"shares": [0.2, 1.0], "bake": "20 s", "guardrails": ["error_share <= 1%"]}
        arms = [{"release": "b", "share": 0.2, "role": "canary"}]
        for kind, subject, payload in (
            ("release.made", "a", {"manifest": "m", "run": ""}),
            ("release.promoted", "a", {}),
            ("release.made", "b", {"manifest": "m", "run": ""}),
            ("route.set", "default", {"arms": arms, "salt": "s", "ramp": ramp}),
            ("route.set", "north", {"arms": arms, "salt": "t", "ramp": ramp}),
        ):
            self.store.append([Draft(kind, subject, iso(self.moment), "me", payload)])
        self.count = 0
        self.guard = Guardian(
            self.store,
            folder,
            lambda start: Tail(folder / "log", start=start),
            lambda: self.verbs,
            lambda: self.moment,
            every=0.005,
        )

    def answer(self, seconds: float) -> None:
        """Ten answers of canaries a second on each route, none of them bad."""
        for _ in range(round(seconds * 10)):
            self.moment += timedelta(seconds=0.1)
            told = []
            for route in ("default", "north"):
                self.count += 1
                time = int(self.moment.timestamp() * 1e6)
                told.append(
                    Answered(
                        id=f"{self.count:032x}", time=time, route=route, release="b", arm="canary", unit="",
                        inputs={}, by="model", took_us=1000, answer={"prediction": 1.0},
                    )
                )  # fmt: skip
            self.log.append(told, lambda error: None)

    def counted(self) -> list[int]:
        """Answers that the guardrails of the two routes rest on."""
        watched = sorted(self.guard._watched.items())  # `left_standing` is written once a second alone
        return [w.watch.judge()[0].rows for _, w in watched]


@pytest.mark.parametrize("what", ["the ledger", "the log", "the verbs"])
def test_each_answer_is_bet_on_once_whatever_fails_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    there = Stumbling(tmp_path)
    parts = tmp_path / "log" / "parts.json"

    def break_(breaks: bool) -> None:
        if what == "the ledger":
            there.store.breaks = breaks
        elif what == "the verbs":
            there.verbs.breaks = breaks
        elif breaks:
            parts.write_text("half a li")
        else:
            parts.unlink()

    def stumbled() -> bool:
        return any("stumbled" in r.getMessage() for r in caplog.records)

    try:
        there.guard.start()
        there.answer(0.1)
        wait_until(lambda: there.counted() == [1, 1])
        there.answer(24.9)
        wait_until(lambda: there.counted() == [250, 250])
        for failure in range(1, 4):
            caplog.clear()
            break_(True)
            wait_until(stumbled)
            there.answer(5)
            break_(False)
            there.answer(1.5)
            wait_until(lambda so_far=250 + 65 * failure: min(there.counted(), default=0) >= so_far)
            assert there.counted() == [250 + 65 * failure] * 2
    finally:
        there.guard.close()
        there.log.close()


def test_one_process_at_a_time_acts_and_death_frees_it(canaried: World) -> None:
    folder = canaried[0].root / ".headrace"
    code = (
        "import sys, time; from pathlib import Path; from headrace.stores.lease import Lease\n"
        "lease = Lease(Path(sys.argv[1])); print(lease.held(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "guard.lock")], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        mine = Lease(folder / "guard.lock")
        assert not mine.held()
        assert (folder / "guard.lock").read_text() == f"{other.pid}\n"
        other.kill()
    assert mine.held()
    assert mine.held()
    again = Lease(folder / "guard.lock")
    assert not again.held()
    mine.free()
    assert again.held()
    again.free()


def test_a_state_that_is_old_or_broken_says_nothing(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert left_standing(tmp_path, now) == {}
    (tmp_path / "guard.json").write_text("half a li")
    assert left_standing(tmp_path, now) == {}
    (tmp_path / "guard.json").write_text('{"default": {"at": "2026-01-01T00:00:00.000000Z"}}')
    assert left_standing(tmp_path, now) == {}


def entries(*told: dict[str, Any]) -> Sequence[Answered]:
    base = {
        "id": "",
        "time": 0,
        "route": "default",
        "release": "r",
        "arm": "canary",
        "unit": "",
        "by": "model",
    }
    return [Answered(**{**base, "id": str(i), "inputs": {}, "answer": {}, **t}) for i, t in enumerate(told)]


def test_answers_become_windows_of_units() -> None:
    found = windows(
        entries(
            {"time": 50_000, "took_us": 5},
            {"time": 60_000, "arm": "champion"},
            {"time": 150_000, "unit": "u", "took_us": 9, "by": "fallback: value (error)"},
            {"time": 160_000, "unit": "u", "took_us": 7, "answer": {"probability": 0.5}},
            {"time": 160_000, "arm": "shadow"},
            {"time": 160_000, "arm": "asked"},
            {"time": 160_000, "route": "other"},
        ),
        "default",
    )
    assert [(number, len(ours), len(theirs)) for number, ours, theirs in found] == [(0, 1, 1), (1, 1, 0)]
    worst = found[1][1]
    assert (worst.failed[0], worst.fell_back[0], worst.took[0], worst.score[0]) == (1, 1, 9, 0.5)
    assert len(seen([])) == 0


def test_scores_and_failures_are_read_from_answers() -> None:
    several = {"prediction": "b", "probability": {"a": 0.2, "b": 0.7, "c": 0.1}}
    told = entries(
        {"answer": {"prediction": True, "probability": 0.3}},
        {"answer": {"prediction": 41.5}},
        {"answer": several},
        {"answer": {"prediction": True}},
        {"answer": {"prediction": 1.0}, "by": "rule: limit"},
        {"by": "fallback: champion (deadline)", "answer": {"prediction": 1.0}},
        {"by": "fallback: value (timeout, error)"},
    )
    assert [score(e) for e in told[:3]] == [0.3, 41.5, 1.7]
    assert all(np.isnan(score(e)) for e in told[3:])
    assert [failed(e) for e in told] == [False] * 6 + [True]
