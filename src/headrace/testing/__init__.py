"""Exams: what an implementation of a port has to pass. Subclass one in your own tests (needs pytest)."""

from headrace.testing.online_exam import OnlineStoreExam
from headrace.testing.store_exam import StoreExam

__all__ = ["OnlineStoreExam", "StoreExam"]
