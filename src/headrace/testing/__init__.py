"""Exams: what an implementation of a port has to pass. Subclass one in your own tests (needs pytest)."""

from headrace.testing.store_exam import StoreExam

__all__ = ["StoreExam"]
