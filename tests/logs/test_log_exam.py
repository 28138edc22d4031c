"""The writer sits the exam of logs, durable and buffered."""

import itertools
from pathlib import Path

from headrace.core.answered import Answered
from headrace.core.ports import Log
from headrace.logs.read import read
from headrace.logs.writer import LogWriter
from headrace.testing.log_exam import LogExam

COUNT = itertools.count()


class TestDurableLog(LogExam):
    @staticmethod
    def make_log(place: Path) -> Log:
        return LogWriter(place, worker=f"w{next(COUNT)}", mode="durable")

    @staticmethod
    def read_log(place: Path) -> list[Answered]:
        return list(read(place))


class TestBufferedLog(TestDurableLog):
    @staticmethod
    def make_log(place: Path) -> Log:
        return LogWriter(place, worker=f"w{next(COUNT)}", mode="buffered", window_us=5_000)
