"""Lookups and histories as one SQL query, for databases that hold the tables.

- `emit.pit_sql(plan, dialect)`: the query, of DuckDB, PostgreSQL or Spark
- `plan.Plan`: what is asked of which tables
- `lookups`, `histories`: the parts of the query that find rows, and that aggregate them
- `writing`: names, lists, times, and the steps of a query

A query begins with the rows of the events and adds columns step by step. A step sets the rows of a side table
between those that ask, looks back over both with a window, and drops the side's rows again, or joins what is
unique: a row of the events can't be lost or doubled, whatever its keys are.
"""
