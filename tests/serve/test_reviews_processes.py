"""People in the loop behind real sockets: two workers share a queue and its capacity, one is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

from canary_world import server, wait_until
from spine import Clock, begin

from headrace.project import Project

CAPACITY = 40
REVIEW = f"review: {{audit: 0.5, capacity: {CAPACITY} / day, deadline: 2 days}}"
ROW = {"at": "2024-01-20T15:00:00Z", "depot": "north", "distance": 12.5}


class Callers:
    """Ask one row after the other, on connections of their own, and keep what was answered."""

    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.answers: list[dict[str, Any]] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        while not self.over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                for _ in range(5):
                    connection.request(
                        "POST", "/predict", json.dumps(ROW), {"content-type": "application/json"}
                    )
                    reply = connection.getresponse()
                    told = json.loads(reply.read())
                    if reply.status == 200:
                        self.answers.append(told)
            except (OSError, http.client.HTTPException):
                self.over.wait(0.05)  # the worker was killed: the next connection finds another
            finally:
                connection.close()

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def children(pid: int) -> list[int]:
    """A supervisor's workers."""
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_callers_were_told_is_in_the_queue(tmp_path: Path) -> None:
    """A worker dies while items are on their way: whoever was told that a person will look finds the item,
    and all workers together send no more than the day's capacity."""
    folder = tmp_path / "project"
    project = begin(folder, ("models: [tree]", f"models: [tree]\n{REVIEW}"), clock=Clock())
    assert project.run().status == "released"
    with server(folder, 2) as (port, supervisor):
        callers = Callers(port, 3)
        wait_until(lambda: len(callers.answers) > 20, 30)
        os.kill(children(supervisor)[0], signal.SIGKILL)
        wait_until(lambda: len(callers.answers) > 300, 60)
        callers.stop()
    asked = {a["id"] for a in callers.answers if a["review"]}
    reviews = Project(folder).reviews()
    kept = {i.item.id for _, i in reviews.items(limit=1000)}
    assert asked <= kept
    assert len(kept) <= CAPACITY
    assert len(asked) > 5
    assert len(kept) - len(asked) <= 3  # no more were on their way to the callers
    taken = [reviews.take(f"reviewer {n}", now=1, lease=10**9) for n in range(CAPACITY + 1)]
    assert len({t.item.id for t in taken if t is not None}) == len(kept)
