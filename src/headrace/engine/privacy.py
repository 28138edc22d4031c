"""What the spec does with personal data: treatments by table, the key of hashes, and the gate's evidence."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headrace.core.evidence import Evidence
from headrace.core.spec.models import Spec
from headrace.data.privacy.key import Key, load_key
from headrace.data.privacy.redact import Redaction, Treatment
from headrace.data.privacy.scan import Scan

Treatments = Mapping[str, Mapping[str, Treatment]]
"""What becomes of personal columns, by table and column."""

_SHOWN = 8


@dataclass(frozen=True)
class Proof:
    """What the scan of every snapshot found: the artifact behind the gate `pii`. `treatments` say what was
    done, by table and column; `key` is the fingerprint of the key of hashes."""

    scans: tuple[Scan, ...]
    treatments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    key: str = ""


def treatments_of(spec: Spec) -> dict[str, dict[str, Treatment]]:
    """`data.pii` by table and column: a column without a table's name is the events'."""
    found: dict[str, dict[str, Treatment]] = {name: {} for name in spec.data.tables}
    for name, said in spec.data.pii.items():
        table, column = split_name(spec, name)
        how = Treatment(said) if isinstance(said, str) else Treatment(said.do, said.why.strip(), said.length)
        found.setdefault(table, {})[column] = how
    return found


def split_name(spec: Spec, name: str) -> tuple[str, str]:
    """Table and column of a name as `email` or `customers.email`."""
    table, dot, column = name.partition(".")
    return (table, column) if dot and column else (spec.data.events, name)


def full_name(spec: Spec, table: str, column: str) -> str:
    """`split_name` undone."""
    return column if table == spec.data.events else f"{table}.{column}"


def key_of(treatments: Treatments, store: Path) -> Key:
    """The key of hashes, from the environment; an empty one where nothing is hashed.

    Raises:
        UserError: there is none, and something is hashed.
    """
    if not any(how.do == "hash" for columns in treatments.values() for how in columns.values()):
        return Key(b"", "")
    return load_key(os.environ, store)


def redaction_of(treatments: Treatments, table: str, key: Key) -> Redaction:
    """The treatments of one table."""
    return Redaction(treatments.get(table, {}), key.secret)


def undeclared(scan: Scan, treatments: Mapping[str, Treatment]) -> list[str]:
    """The columns of a table that look personal and have no treatment, and those whose treatment shows a
    gap: what keeps the table from being kept."""
    open_ = [f.column for f in scan.findings if f.column not in treatments]
    return list(dict.fromkeys([*open_, *(c for c, count in scan.untreated.items() if count)]))


def pii_evidence(spec: Spec, scans: Sequence[Scan], treatments: Treatments) -> Evidence:
    """How many columns hold personal data that nothing was said about."""
    named: list[str] = []
    told: list[str] = []
    kept: dict[str, str] = {}
    for scan in scans:
        of = treatments.get(scan.table, {})
        for column in undeclared(scan, of):
            name = full_name(spec, scan.table, column)
            named.append(name)
            found = [str(f) for f in scan.findings if f.column == column]
            left = scan.untreated.get(column, 0)
            if left:
                found.append(f"{left:,} values lack the form that {of[column].do} leaves")
            told.append(f"{name}: {'; '.join(found)}")
        kept |= {full_name(spec, scan.table, c): how.why for c, how in of.items() if how.do == "keep"}
    where = " | ".join(told[:_SHOWN]) + (f" | and {len(told) - _SHOWN} more columns" if told[_SHOWN:] else "")
    if named:
        declared = ", ".join(f"{n}: drop" for n in named[:_SHOWN])
        where += f" — such as data.pii: {{{declared}}}"
    elif kept:
        where = "kept: " + "; ".join(f"{n} ({why})" for n, why in kept.items())
    return Evidence(
        "pii",
        float(len(named)),
        unit="columns undeclared",
        n=sum(len(s.columns) for s in scans),
        where=where,
        details={"undeclared": named, "kept": kept},
    )
