"""The SQLite review queue passes the exam of its port, and keeps to its file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headrace.core.errors import StoreError
from headrace.core.ports import ReviewQueue
from headrace.stores.reviews import SqliteReviews
from headrace.testing.review_exam import NOW, ReviewQueueExam, item


class TestSqliteReviews(ReviewQueueExam):
    @staticmethod
    def make_queue(place: Path) -> ReviewQueue:
        return SqliteReviews(place / "reviews.db")


def test_looking_makes_no_file(tmp_path: Path) -> None:
    queue = SqliteReviews(tmp_path / "x" / "reviews.db")
    queue.counts(now=NOW)
    queue.items()
    queue.take("ann", now=NOW, lease=1)
    assert not (tmp_path / "x").exists()


def test_a_file_of_others_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "reviews.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE t (a)")
    db.close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match="no review queue"):
        SqliteReviews(file).put([item(1)])
    assert file.read_bytes() == before


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "reviews.db"
    file.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        SqliteReviews(file).put([item(1)])


def test_a_queue_is_closed_and_opened_again(tmp_path: Path) -> None:
    queue = SqliteReviews(tmp_path / "reviews.db")
    queue.put([item(1)])
    queue.close()
    assert queue.get("p1") is not None
