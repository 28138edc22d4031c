"""The prediction log: answers written as they are given, read back, queried, compacted, erased; and labels.

`writer`, `frames`, `segment` and `labels` are what a serving process needs, and import neither pyarrow nor
duckdb; `read`, `compact`, `erase` and `query` are for everybody else.
"""
