"""The SQLite online store passes the exam of its port."""

from __future__ import annotations

from pathlib import Path

from headrace.core.ports import OnlineStore
from headrace.stores import SqliteOnlineStore
from headrace.testing import OnlineStoreExam


class TestSqliteOnlineStore(OnlineStoreExam):
    @staticmethod
    def make_store(place: Path) -> OnlineStore:
        return SqliteOnlineStore(place / "online.db")
