"""People in the loop behind real sockets: two workers share a queue and its capacity, one is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from callers import Callers
from served import served, wait_until
from spine import PATIENT, Clock, begin

from headrace.project import Project

CAPACITY = 40
REVIEW = f"review: {{audit: 0.5, capacity: {CAPACITY} / day, deadline: 2 days}}"
ROW = {"at": "2024-01-20T15:00:00Z", "depot": "north", "distance": 12.5}


def test_what_callers_were_told_is_in_the_queue(tmp_path: Path) -> None:
    """A worker dies while items are on their way: whoever was told that a person will look finds the item,
    and all workers together send no more than the day's capacity."""
    folder = tmp_path / "project"
    project = begin(folder, ("models: [tree]", f"models: [tree]\n{REVIEW}"), PATIENT, clock=Clock())
    assert project.run().status == "released"
    with (
        served(folder, "--workers", "2") as server,
        Callers(server.port, lambda _: ROW, connections=3, also=lambda said: said["review"]) as callers,
    ):
        wait_until(lambda: len(callers.told) > 20)
        os.kill(server.children()[0], signal.SIGKILL)
        wait_until(lambda: len(callers.told) > 300)
        callers.stop()
    assert callers.odd == []
    asked = {t.id for t in callers.given if t.also}
    reviews = Project(folder).reviews()
    kept = {i.item.id for _, i in reviews.items(limit=1000)}
    assert asked <= kept
    assert len(kept) <= CAPACITY
    assert len(asked) > 5
    assert len(kept) - len(asked) <= 3  # no more were on their way to the callers
    taken = [reviews.take(f"reviewer {n}", now=1, lease=10**9) for n in range(CAPACITY + 1)]
    assert len({t.item.id for t in taken if t is not None}) == len(kept)
