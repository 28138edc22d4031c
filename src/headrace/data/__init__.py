"""Reading, checking, splitting and sealing data. Nothing is imported here: import the room you need.

- `read.describe(name, table, *, root, zone, times=())`: a source's columns, from a sample
- `snapshot.fingerprint(table, *, root, today, salt)`: what decides whether a source is read again
- `snapshot.snapshot(name, table, *, store, root, zone, limits, taken, scratch, progress=None, times=())`
- `expect.plan_expectations(texts, tables, events)` and `measure.measure(planned, paths, *, limits, scratch)`
- `lookup.LookupTable.load(name, path, table, columns)`: `match(...)` for batches, `find(keys, moment)` for a
  request
- `pit_sql.emit.pit_sql(plan, dialect)`: lookups and histories as one SQL query
- `rows.Rows.of(part, *, store, events, data, tables, parts, opening=None)`: `.count`, `.row_numbers()`,
  `.batches(columns, size=65_536)`

`read`, `snapshot` and `expect` are for building; serving needs `lookup` alone (numpy and pyarrow).
"""
