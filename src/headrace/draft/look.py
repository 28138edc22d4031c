"""Read a file as ingest would, and look at its columns: counts over all rows, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.core.errors import DataError
from headrace.core.schema import Column, Type
from headrace.core.spec.learning import Limits
from headrace.core.spec.scalars import parse_size
from headrace.core.spec.tables import TableSpec
from headrace.core.sql import quoted, sql_text
from headrace.data.privacy.scan import scan
from headrace.data.read import connect
from headrace.data.snapshot import snapshot
from headrace.stores import EmbeddedStore

ZONE = "UTC"
"""What a draft takes times without a zone to be in."""

SAMPLE = 100_000
"""How many rows patterns and correlations are looked for in, at most."""

_EXTREME = {Type.NUMBER: "{}", Type.TIME: "epoch_us({})", Type.TEXT: "null", Type.BOOL: "null"}
_OURS = ("__row", "__taken", "file_row_number")
_MANY = 5_000
"""Up to this many distinct values are counted exactly, others are estimated."""


@dataclass(frozen=True)
class Profile:
    """A column's counts. `distinct` leaves null out; it is exact up to a few thousand and where `unique`
    is said. `low` and `high` are those of numbers, and of times in
    UTC microseconds, else None. `whole`: every number is an
    integer. `length` is the mean length of a text in characters."""

    name: str
    type: Type
    source_type: str
    rows: int
    nulls: int
    distinct: int
    unique: bool
    low: Any = None
    high: Any = None
    whole: bool = False
    length: float = 0.0

    @property
    def null_share(self) -> float:
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Look:
    """An opened file: `rows` is a relation of all rows with `__row` beside the columns (a file that has
    such a column can't be looked at), `train` the same of the training rows once `take` has named them.
    `personal` says what looks personal, by column."""

    db: duckdb.DuckDBPyConnection
    columns: tuple[Column, ...]
    rows: int
    personal: Mapping[str, str] = field(default_factory=dict)

    def types(self) -> dict[str, Type]:
        """Column names and types in the file's order."""
        return {c.name: c.type for c in self.columns}

    def values(self, column: str, relation: str = "rows") -> pa.Array[Any]:
        """Every value of a column, in the order of the rows."""
        return self.evaluate(quoted(column), relation)

    def evaluate(self, sql: str, relation: str = "rows") -> pa.Array[Any]:
        """An expression's value for every row, in their order."""
        table: pa.Table = self.db.sql(f"select {sql} as v from {relation} order by __row").to_arrow_table()
        return table.column("v").combine_chunks()

    def take(self, rows: NDArray[np.int64]) -> None:
        """Make `train` the relation of these rows."""
        self.db.register("__taken", pa.table({"__taken": pa.array(rows)}))
        self.db.execute("create or replace temp table __train as select __taken from __taken")
        self.db.execute(
            "create or replace temp view train as "
            "select r.* from rows r join __train t on r.__row = t.__taken"
        )
        self.db.unregister("__taken")

    def sample(self, column: str, *others: str) -> list[NDArray[Any]]:
        """Columns of the training rows as arrays: at most `SAMPLE` rows, the same ones every time."""
        step = max(1, self._count("train") // SAMPLE)
        names = ", ".join(f"{quoted(c)} as v{i}" for i, c in enumerate((column, *others)))
        # Spread over the file by a multiplicative hash of the row number: every step-th row could resonate
        # with a pattern of the file.
        found = self.db.sql(
            f"select {names} from train where (__row * 2654435761) % 4294967296 < 4294967296 / {step} "
            "order by __row"
        ).fetchnumpy()
        return [np.ma.asarray(found[f"v{i}"]) for i in range(1 + len(others))]

    def _count(self, relation: str) -> int:
        return int(_one(self.db, f"select count(*) from {relation}")[0])

    def profiles(self, relation: str = "rows") -> Mapping[str, Profile]:
        """Every column's counts, from two scans."""
        count = self._count(relation)
        wanted: list[str] = []
        for c in self.columns:
            q = quoted(c.name)
            wanted += [f"count({q})", f"approx_count_distinct({q})"]
            wanted += [_EXTREME[c.type].format(f"{end}({q})") for end in ("min", "max")]
            wanted.append(f"bool_and({q} = floor({q}))" if c.type is Type.NUMBER else "null")
            wanted.append(f"avg(length({q}))" if c.type is Type.TEXT else "null")
        found = _one(self.db, f"select {', '.join(wanted)} from {relation}")
        near = {c.name: int(found[i * 6 + 1]) for i, c in enumerate(self.columns)}
        known = {c.name: int(found[i * 6]) for i, c in enumerate(self.columns)}
        exact = self._exact(relation, near, known)
        profiles = {}
        for i, c in enumerate(self.columns):
            _, _, low, high, whole, length = found[i * 6 : i * 6 + 6]
            distinct = exact.get(c.name, near[c.name])
            profiles[c.name] = Profile(
                c.name, c.type, c.source_type, count, count - known[c.name], distinct,
                c.name in exact and distinct == known[c.name] > 1, low, high, bool(whole), length or 0.0,
            )  # fmt: skip
        return profiles

    def _exact(self, relation: str, near: Mapping[str, int], known: Mapping[str, int]) -> dict[str, int]:
        """Exact numbers of distinct values where they matter: few, or nearly as many as rows."""
        counts = {}
        for name, about in near.items():
            if about <= _MANY or about > 0.8 * known[name]:
                sql = f"select count(distinct {quoted(name)}) from {relation}"
                counts[name] = int(_one(self.db, sql)[0])
        return counts

    def copies(self, without: str | None = None) -> int:
        """How many rows are equal to an earlier one in every column but `without`."""
        names = ", ".join(quoted(c.name) for c in self.columns if c.name != without)
        if not names:
            return 0
        found = _one(self.db, f"select count(*) - count(distinct hash({names})) from rows")
        return int(found[0])

    def top(self, column: str, relation: str = "rows", limit: int = 100) -> list[tuple[Any, int]]:
        """The most frequent values with their counts; the more frequent first, then in order."""
        q = quoted(column)
        return self.db.sql(
            f"select {q}, count(*) from {relation} where {q} is not null group by 1 "
            f"order by 2 desc, 1 limit {limit}"
        ).fetchall()


def _one(db: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = db.execute(sql).fetchall()[0]  # an aggregate without `group by` has one row
    return row


def one(look: Look, sql: str) -> tuple[Any, ...]:
    """The only row of an aggregate."""
    return _one(look.db, sql)


@contextmanager
def look_at(file: Path, *, decimal: str = ".", nulls: tuple[str, ...] = ()) -> Iterator[Look]:
    """Open a CSV, TSV, Parquet or JSON-lines file through the reader that ingest uses.

    The rows lie in a temporary folder while the context is open. Times without a zone are read as UTC;
    `decimal` and `nulls` are those of the table's settings.

    Raises:
        DataError: there is no such file, it has no rows, or it can't be read.
    """
    limits = Limits()
    path = file.resolve()
    table = TableSpec(read=path.name, decimal="," if decimal == "," else ".", nulls=nulls)
    with TemporaryDirectory(prefix="headrace-draft-") as folder:
        scratch = Path(folder)
        store = EmbeddedStore(scratch / "store")
        frozen = snapshot(
            "rows", table, store=store, root=path.parent, zone=ZONE, limits=limits, taken="",
            scratch=scratch,
        )  # fmt: skip
        clash = next((c.name for c in frozen.columns if c.name.lower() in _OURS), None)
        if clash is not None:
            raise DataError(
                f"the column name {clash!r} is kept for headrace", where=file.name, fix="rename it"
            )
        with connect(parse_size(limits.memory), limits.threads, scratch) as db:
            db.execute("set enable_progress_bar = false")
            parquet = sql_text(str(store.get(frozen.artifact)))
            db.execute(
                "create view rows as select * exclude (file_row_number), file_row_number as __row "
                f"from read_parquet({parquet}, file_row_number = true)"
            )
            found = scan("rows", store.get(frozen.artifact), frozen.columns, {}, threads=limits.threads)
            personal = {f.column: str(f) for f in reversed(found.findings)}
            yield Look(db, frozen.columns, frozen.rows, personal)
