"""Scoring files and tables: one file at once, or many in parts, each row once whatever is killed."""
