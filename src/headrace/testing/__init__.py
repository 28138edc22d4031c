"""Exams: what an implementation of a port has to pass. Subclass one in your own tests (needs pytest)."""

from headrace.testing.log_exam import LogExam
from headrace.testing.online_exam import OnlineStoreExam
from headrace.testing.review_exam import ReviewQueueExam
from headrace.testing.store_exam import StoreExam

__all__ = ["LogExam", "OnlineStoreExam", "ReviewQueueExam", "StoreExam"]
