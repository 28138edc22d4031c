"""Run the benchmarks: all, or those named. Prints the table, writes benchmarks/out/results.json.

Exit code 1 when something named in the table was not reached; a bench that was skipped is not reached.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks.rows import Row

HERE = Path(__file__).resolve().parent
HEADERS = ("bench", "what", "value", "unit", "floor or peer", "ratio", "reach", "")


def names() -> list[str]:
    """Every bench there is."""
    return sorted(p.stem.removeprefix("bench_") for p in HERE.glob("bench_*.py"))


def main(wanted: list[str]) -> int:
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"no bench called {', '.join(unknown)}; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in wanted or names():
        print(f"… {name}", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.bench_{name}").run()
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    (out / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(table(rows))
    missed = [r for r in rows if r["ok"] is not True]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} reached; figures in {out / 'results.json'}")
    return 1 if missed else 0


def table(rows: list[Row]) -> str:
    """The rows in line."""
    cells = [list(HEADERS), *[_cells(r) for r in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEADERS))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("─" * w for w in widths))
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    mark = {True: "reached", False: "MISSED", None: "SKIPPED"}[row["ok"]]
    return [
        row["bench"],
        row["what"],
        _number(row["value"]),
        row["unit"],
        row["floor"],
        _number(row["ratio"]),
        row["reach"],
        mark,
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
