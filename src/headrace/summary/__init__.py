"""Summaries of columns: bins that are chosen once, and counts of rows in them, which add up."""
