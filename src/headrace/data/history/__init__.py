"""Histories: aggregates over the rows of a table that were known at the moment of prediction."""
