"""Personal data: known by looks and by name, treated before anything is kept, and proven to be gone.

- `names.names_personal(name)`: what a column's name speaks of
- `kinds.KINDS`: what is known by its looks, each with its check digits
- `scan.scan(table, path, columns, treated)`: every column of a Parquet file
- `redact.Redaction`: drop, hash or mask columns; the same functions for arrays and for single values (serving
  needs this alone)
- `key.load_key(environment, root)`: the secret of keyed hashes
"""
