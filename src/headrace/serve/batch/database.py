"""A database's table as a file to score: read once, in one state and one order, so that a batch which is
killed goes on with the rows that it began with."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from headrace.core.errors import UserError
from headrace.core.spec.tables import TableSpec
from headrace.data.database import is_database, open_database
from headrace.serve.batch.state import STAGED

_GROUP = 100_000
_PLACE = re.compile(r"(?P<read>[^#]+)#(?P<table>[^#]+)")


def database_of(source: str, query: str = "") -> TableSpec | None:
    """The table that a source names: `$VARIABLE#TABLE` or `FILE.sqlite#TABLE`, or `$VARIABLE` with a query;
    None: it is no database.

    Raises:
        UserError: it names neither table nor query, or both.
    """
    match = _PLACE.fullmatch(source)
    read, table = (match["read"], match["table"]) if match else (source, "")
    if not is_database(read):
        if query:
            raise UserError("--query asks a database", where=source, fix="name one: $VARIABLE or FILE.sqlite")
        return None
    if bool(table) == bool(query):
        raise UserError(
            "a database needs one table or one query", where=read, fix=f"write '{read}#TABLE', or add --query"
        )
    return TableSpec(read=read, table=table or None, query=query or None)


def stage(table: TableSpec, root: Path, folder: Path) -> Path:
    """Read a table into `folder`, or see that it was: the Parquet file of its rows.

    Raises:
        DataError: the database can't be reached, has no such table, or refuses the query.
        MissingDependency: SQLAlchemy or the driver is not installed.
    """
    place = folder / STAGED
    file = place / f"{_plain(table)}.parquet"
    if file.is_file():
        return file
    shutil.rmtree(place, ignore_errors=True)
    spool = place / "spool"
    spool.mkdir(parents=True)
    place.chmod(0o700)  # rows as they are, personal data too
    raw = open_database(table, root=root, spool=spool, times=())
    part = place / "rows.part"
    with pq.ParquetWriter(part, raw.schema, compression="zstd") as writer:
        for batch in raw.batches():
            writer.write_batch(batch, row_group_size=_GROUP)
    part.replace(file)
    shutil.rmtree(spool)
    return file


def unstage(folder: Path) -> None:
    """Remove the rows that were read."""
    shutil.rmtree(folder / STAGED, ignore_errors=True)


def _plain(table: TableSpec) -> str:
    return re.sub(r"\W+", "_", table.table or "query", flags=re.ASCII)
