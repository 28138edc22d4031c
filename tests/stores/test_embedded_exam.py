"""The embedded store sits the exam that every store sits."""

from pathlib import Path

from headrace.core.ports import Store
from headrace.stores import EmbeddedStore
from headrace.testing import StoreExam


class TestEmbeddedStore(StoreExam):
    @staticmethod
    def make_store(place: Path) -> Store:
        return EmbeddedStore(place)
