"""Writing parts: Arrow tables as files that count only once `parts.json` names them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.core.digest import digest_file
from headrace.logs.columns import by_day_and_route, concat, in_order, times
from headrace.logs.parts import FOLDER, Note, Part
from headrace.logs.segment import sync_folder, trouble

GROUP = 100_000
"""Rows in one group of a part."""


def write_parts(folder: Path, tables: Sequence[pa.Table]) -> list[Part]:
    """Write rows as parts, one for each day and route. They do not count yet.

    Raises:
        StoreError: the medium refused; what was written is removed by the next compaction.
    """
    apart: dict[tuple[str, str], list[pa.Table]] = {}
    for table in tables:
        for key, mine in by_day_and_route(table).items():
            apart.setdefault(key, []).append(mine)
    return [_write(folder, day, route, in_order(concat(found))) for (day, route), found in apart.items()]


def _write(folder: Path, day: str, route: str, table: pa.Table) -> Part:
    at = times(table)
    first, last = int(at[0]), int(at[-1])
    place = folder / FOLDER / f"day={day}" / f"route={quote(route, safe='')}"
    path = place / f"{first}-{secrets.token_hex(6)}.parquet"
    try:
        made = not place.is_dir()
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd", row_group_size=GROUP)
        with path.open("rb") as written:
            os.fsync(written.fileno())
        sync_folder(place)
        if made:
            sync_folder(place.parent)
            sync_folder(place.parent.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise trouble(error, "write a part of the prediction log", path) from error
    file = path.relative_to(folder).as_posix()
    size = path.stat().st_size
    return Part(file, digest_file(path), size, table.num_rows, first, last, day, route)


def added(
    part: Part, replaces: Sequence[Part], segments: Sequence[str] = (), torn: Mapping[str, int] | None = None
) -> Note:
    """What the ledger is told of a part, and of the parts or segments that went into it; `torn`: those of the
    segments that had bytes which are no whole entries, and how many."""
    payload: dict[str, Any] = {
        "digest": part.digest,
        "file": part.file,
        "rows": part.rows,
        "first": part.first,
        "last": part.last,
        "route": part.route,
        "day": part.day,
        "replaces": [p.digest for p in replaces],
        "segments": list(segments),
        "torn": dict(torn or {}),
    }
    return Note("log.segment", part.file, payload)
