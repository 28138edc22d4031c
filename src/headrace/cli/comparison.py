"""A comparison of runs as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.cli.common import number, span, table

Found = Mapping[str, Any]


def comparison_text(found: Found) -> str:
    """What differs, part by part; parts in which nothing is to be told are left out."""
    parts = [
        _spec(found),
        _data(found),
        table(["stage", "key"], [[n, "same" if same else "differs"] for n, same in found["stages"].items()]),
        _artifacts(found["artifacts"]),
        _side_by_side("params", found["runs"], found["params"]),
        _side_by_side("model", found["runs"], found["leaderboard"]),
        _metrics(found),
        _gates(found),
        "test " + "; ".join(_test(r, t) for r, t in zip(found["runs"], found["test"], strict=True)),
        *(_paired(p) for p in found["paired"]),
    ]
    return "\n\n".join(p for p in parts if p)


def _spec(found: Found) -> str:
    if len(found["runs"]) == 2:
        return f"spec: {found['spec']}"
    lines = []
    for change in found["changes"]:
        parts = [f"{c}: {' '.join(t)}" for c, t in (change["components"] or {}).items()]
        lines.append(f"{change['run']}: {'; '.join(parts) or change['why_none'] or 'no change'}")
    return f"against {found['runs'][0]}:\n" + "\n".join(lines)


def _data(found: Found) -> str:
    rows = []
    for name, t in found["data"].items():
        own = [f"{r}: {', '.join(c)}" for r, c in zip(found["runs"], t["columns"], strict=True) if c]
        counts = [f"{n:,}" if n is not None else "–" for n in t["rows"]]
        rows.append([name, *counts, "same" if t["same"] else "differs", "; ".join(own) or "–"])
    headers = ["rows of", *found["runs"], "content", "columns of one alone"]
    return table(headers, rows, right=range(1, len(found["runs"]) + 1)) if rows else ""


def _artifacts(artifacts: Mapping[str, bool | None]) -> str:
    differ = [n for n, same in artifacts.items() if same is False]
    alone = sum(same is None for same in artifacts.values())
    if not artifacts:
        return ""
    said = f"artifacts: {sum(bool(s) for s in artifacts.values())} same, {len(differ)} differ"
    said += f", {alone} not made by all" if alone else ""
    return said + (f" ({', '.join(differ[:8])}{', …' if len(differ) > 8 else ''})" if differ else "")


def _side_by_side(what: str, runs: Sequence[str], lines: Mapping[str, Sequence[Any]]) -> str:
    rows = [[n, *values] for n, values in lines.items()]
    return table([what, *runs], rows, right=range(1, len(runs) + 1)) if rows else ""


def _metrics(found: Found) -> str:
    rows = []
    for name, values in found["metrics"].items():
        cells = [f"{number(v['value'])} {span(v['interval'])}".rstrip() if v else "–" for v in values]
        rows.append([name, *cells])
    return table(["metric", *found["runs"]], rows) if rows else ""


def _gates(found: Found) -> str:
    count = len(found["runs"])
    rows = [[n, *v[:count], *v[count:]] for n, v in found["gates"].items()]
    headers = ["gate", *found["runs"], *(f"value {r}" for r in found["runs"])]
    return table(headers, rows, right=range(count + 1, 2 * count + 1)) if rows else ""


def _test(run: str, test: Mapping[str, Any] | None) -> str:
    if not test:
        return f"{run}: –"
    return f"{run}: {test['metric']} {number(test['value'])} {span(test['interval'])}".rstrip()


def _paired(p: Mapping[str, Any]) -> str:
    if p["why_none"]:
        return f"{p['run']} against {p['against']}: no significance claimed: {p['why_none']}"
    ends = p["interval"]
    between = f" [{ends['low']:+.1%}, {ends['high']:+.1%}]" if ends else ""
    share = f"{p['value']:+.1%}" if p["value"] is not None else "undefined"
    on = f"on {p['rows']:,} validation rows ({p['units']:,} units) that neither was trained on"
    return f"{p['run']} is {p['says']} than {p['against']}: {p['metric']} {share}{between} {on}".replace(
        "not told apart than", "not told apart from"
    )
