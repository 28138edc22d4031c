"""What the decisions of a canary and of the champion were worth: each is counted once, whatever labels do."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spine import begin

from headrace.core.routes import Route
from headrace.engine.arm_worth import ArmWorth, Known
from headrace.logs.labels import LabelBook
from headrace.logs.writer import LogWriter
from headrace.project import Project
from headrace.testing.log_exam import START, answered

BEGAN = datetime.fromtimestamp(START / 1e6, UTC)
ROUTE = Route(began=BEGAN.isoformat())
WORTH = ("  metric: f1\n", "  metric: f1\n  value: {true_positive: 4, false_positive: -1, unit: EUR}\n")


def answers(numbers: Sequence[int], arm: str, said: bool) -> list[Any]:
    return [answered(i, arm=arm, answer={"prediction": said}, inputs={"n": i}) for i in numbers]


def test_every_decision_counts_once(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", WORTH)
    release = project.run().release
    moment = [BEGAN + timedelta(days=1)]
    book = LabelBook(project.log_folder, clock=lambda: moment[0])
    upto = 0

    def worth() -> ArmWorth:
        return ArmWorth(project.store, lambda sql: project.log_query(sql).rows, release)

    def write(entries: Sequence[Any]) -> None:
        log = LogWriter(project.log_folder, worker="w")
        log.append(entries, lambda error: None)
        log.close()

    def look(at: ArmWorth) -> tuple[list[float], list[float]]:
        nonlocal upto
        moment[0] += timedelta(hours=1)
        known = at.known(ROUTE, upto)
        upto = known.upto
        return sorted(known.canary), sorted(known.champion)

    first = worth()
    assert first.reach == (-1000.0, 4000.0)
    assert look(first) == ([], []), "nothing was answered yet"
    write([*answers(range(1, 4), "canary", True), *answers(range(4, 6), "champion", True)])
    assert look(first) == ([], [])

    def tell(number: int, label: object, **more: object) -> None:
        assert book.take({"id": answered(number).id, "label": label, **more}).refused == 0

    tell(1, True)
    tell(4, False)
    tell(99, True)
    assert look(first) == ([4000.0], [-1000.0])
    assert look(first) == ([], [])
    # Corrections, the same told under another name, and what is said after a withdrawal are no new decisions.
    tell(1, False)
    tell(4, False, event_id="again")
    assert look(first) == ([], [])
    tell(1, None)
    assert look(first) == ([], [])
    tell(1, "1")
    assert look(first) == ([], [])
    # A label that nobody understands is not a truth; when it is corrected it is the first.
    tell(2, "no idea")
    assert look(first) == ([], [])
    tell(2, 0)
    assert look(first) == ([-1000.0], [])
    # Labels by inputs come before their answers: known when they are matched, long after they arrived.
    book.take([{"input_n": 20, "label": True}, {"input_n": 3, "label": False}])
    moment[0] += timedelta(days=2)
    tell(5, True)
    assert look(first) == ([-1000.0], [4000.0])
    moment[0] += timedelta(days=2)
    write(answers([20], "canary", True))
    assert look(first) == ([4000.0], [])
    assert look(first) == ([], [])
    # Who takes over has bet on nothing.
    assert worth().known(ROUTE, 0) == Known((4000.0, -1000.0, -1000.0, 4000.0), (-1000.0, 4000.0), upto)
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def test_the_log_is_not_read_for_nothing(tmp_path: Path) -> None:
    project = begin(tmp_path / "project", WORTH)
    release = project.run().release
    asked: list[str] = []

    def ask(sql: str) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return project.log_query(sql).rows

    verbs = project.route_verbs()
    plain = verbs.worth(release)
    made = ArmWorth(project.store, ask, release, news=project.labels().news)
    upto = [made.known(ROUTE, 0).upto for _ in range(2)]
    assert (upto, len(asked)) == ([0, 0], 2)
    for _ in range(10):
        made.known(ROUTE, 0)
    assert len(asked) == 2
    made.known(ROUTE, 0)
    assert len(asked) == 3, "now and then all the same"
    log = LogWriter(project.log_folder, worker="w")
    log.append(answers(range(3), "canary", True), lambda error: None)
    log.close()
    assert made.known(ROUTE, 0).canary == ()
    assert len(asked) == 3
    project.labels().take([{"id": answered(i).id, "label": True} for i in range(2)])
    assert made.known(ROUTE, 0).canary == plain.known(ROUTE, 0).canary == (4000.0, 4000.0)
    assert len(asked) == 4
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def test_a_project_without_worth(finished: Project) -> None:
    release = finished.releases().champion
    assert release is not None
    assert finished.route_verbs().worth(release.release).reach is None
