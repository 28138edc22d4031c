"""Writing, compacting, reading and following at the same time: every entry once for everybody."""

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headrace.logs.compact import compact
from headrace.logs.label_tables import label_tables
from headrace.logs.query import query
from headrace.logs.read import read
from headrace.logs.segment import segments
from headrace.logs.tail import Tail
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import Callers, answered

BATCHES, ROWS = 60, 20


def test_everybody_at_once(tmp_path: Path) -> None:
    written: list[int] = []
    ended = threading.Event()
    rounds = itertools.count(1)
    seen = 0

    def write() -> None:
        log = LogWriter(tmp_path, worker="w", mode="durable", rotate_bytes=6_000)
        for batch in range(BATCHES):
            while batch > 6 * seen + 6:  # readers look while it is written, however slow they are
                time.sleep(0.002)
            told, mine = Callers(), range(batch * ROWS, (batch + 1) * ROWS)
            log.append([answered(i) for i in mine], told)
            assert told.wait(1) == [None]
            written.extend(mine)
        log.close()

    def squeeze() -> None:
        while not ended.is_set():
            compact(tmp_path)

    tail = Tail(tmp_path)
    followed: list[int] = []
    with ThreadPoolExecutor() as pool:
        writing, squeezing = pool.submit(write), pool.submit(squeeze)
        try:
            while not (writing.done() or squeezing.done()):
                look(tmp_path, set(written))
                followed += [int(e.id, 16) for e in tail.poll()]
                seen = next(rounds)
        finally:
            seen = BATCHES
            ended.set()
        writing.result()
        squeezing.result()
    followed += [int(e.id, 16) for e in tail.poll()]
    assert sorted(followed) == sorted(written) == list(range(BATCHES * ROWS))
    compact(tmp_path)
    assert segments(tmp_path) == []
    look(tmp_path, set(written))


def look(folder: Path, promised: set[int]) -> None:
    """All that was promised is there, and nothing twice."""
    found = Counter(int(e.id, 16) for e in read(folder))
    assert promised <= set(found)
    assert max(found.values(), default=1) == 1
    sql = "SELECT count(*), count(DISTINCT id) FROM predictions"
    ((rows, ids),) = query(folder, sql, label_tables([])).rows
    assert rows == ids >= len(promised)
