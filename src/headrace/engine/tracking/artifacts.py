"""What a script gives to be kept, as bytes with a name and an ending."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.core.errors import UserError


def as_file(file: str | Path | bytes, name: str | None) -> tuple[str, bytes | Path, str]:
    """A file's name, bytes (or path) and ending.

    Raises:
        UserError: there is no such file, or bytes have no name.
    """
    if isinstance(file, bytes):
        if not name:
            raise UserError("bytes need a name", fix="log_artifact(data, 'name.bin')")
        return name, file, Path(name).suffix
    path = Path(file)
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}", fix="give the path of a file, or bytes and a name")
    return name or path.name, path.read_bytes(), path.suffix


def as_table(name: str, rows: Any) -> tuple[bytes, str]:
    """A table as Parquet.

    Raises:
        UserError: it is no table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if hasattr(rows, "__arrow_c_stream__"):
            table = pa.table(rows)
        elif isinstance(rows, Mapping):
            table = pa.table(dict(rows))
        elif isinstance(rows, Sequence) and rows and all(isinstance(r, Mapping) for r in rows):
            table = pa.Table.from_pylist([dict(r) for r in rows])
        else:
            raise TypeError(f"a {type(rows).__name__} is no table")
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{name!r} can't be kept as a table",
            why=str(error),
            fix="give a data frame, a dict of columns of equal length, or a list of dicts",
        ) from error
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue(), ".parquet"


def as_plot(name: str, figure: Any) -> tuple[bytes, str]:
    """A figure as HTML (Plotly) or PNG (Matplotlib).

    Raises:
        UserError: it is neither.
    """
    if hasattr(figure, "to_html") and hasattr(figure, "to_plotly_json"):
        return figure.to_html(include_plotlyjs=True, full_html=True).encode(), ".html"
    if hasattr(figure, "savefig"):
        out = io.BytesIO()
        figure.savefig(out, format="png", bbox_inches="tight", metadata={"Software": None})
        return out.getvalue(), ".png"
    raise UserError(
        f"{name!r} is a {type(figure).__name__}, which is no figure",
        fix="give a Plotly or Matplotlib figure; keep anything else with log_artifact",
    )
