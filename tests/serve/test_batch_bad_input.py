"""Files with mistakes: bad rows are set aside with all their reasons, bad files are refused before anything
is written."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serve_releases import FIRST_DAY, Release
from test_batch import expected, plain_rows, read, score, write_csv, write_json, write_parquet

from headrace.core.codec import to_json
from headrace.core.errors import DataError

NAMES = ["distance", "seats", "night", "carrier", "origin", "tail", "dep"]
GOOD = "700.5,180,true,UA,JFK,5,2013-06-01 05:15:00"


def write_lines(path: Path, *lines: str | bytes) -> Path:
    head = ",".join(NAMES)
    path.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in (head, *lines)))
    return path


def rejected(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["row", "line", "reason"]
    return rows


def rows_of(path: Path) -> list[int]:
    return [row["row"] for row in read(path)]


def test_bad_rows_of_a_csv_file_are_set_aside(binary: Release, tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.csv",
        GOOD,
        "far,180,yes,UA,JFK,5,2013-02-30 05:15:00",
        "1,2,3",
        "",
        GOOD.replace("UA", '"U\nA"'),
        GOOD + ",more",
        GOOD.encode().replace(b"UA", b"U\xff"),
        GOOD.replace("UA", "U\x00A"),
        GOOD.replace("05:15", "25:15"),
        GOOD.replace("700.5", "7,5".replace(",", "x")),
        GOOD,
    )
    output = tmp_path / "out.csv"
    scored = score(binary, source, output)
    assert (scored.rows, scored.rejected, scored.rejects) == (3, 7, str(output) + ".rejects.csv")
    assert rows_of(output) == [1, 4, 10]
    assert rejected(Path(scored.rejects)) == [
        [
            "2",
            "3",
            "dep: '2013-02-30 05:15:00' is no time (ISO 8601); distance: 'far' is no number; "
            "night: 'yes' is not true or false",
        ],
        ["3", "4", "the row has 3 fields, the header has 7"],
        ["5", "8", "the row has 8 fields, the header has 7"],
        ["6", "9", "carrier: holds bytes that are no UTF-8"],
        ["7", "10", "carrier: holds a NUL character"],
        ["8", "11", "dep: '2013-06-01 25:15:00' is no time (ISO 8601)"],
        ["9", "12", "distance: '7x5' is no number"],
    ]


def test_bad_lines_of_json_are_set_aside(binary: Release, tmp_path: Path) -> None:
    good = dict(zip(NAMES, [700.5, 180, True, "UA", "JFK", 5, "2013-06-01 05:15:00"], strict=True))
    lines = [
        good,
        {**good, "distance": "700", "night": 1, "carrier": ["UA"], "dep": 5},
        {k: v for k, v in good.items() if k != "carrier"},  # a key that is not there is null
        {**good, "carrier": "U\x00A"},
        {**good, "seats": 10**400},
        {**good, "dep": "noon"},
        good,
    ]
    text = [json.dumps(line).encode() for line in lines]
    text[1:1] = [b"", b'{"distance": ', b"[1]", b'{"carrier": "\xff"}', b"NaN", b"  "]
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\r\n".join(text))
    scored = score(binary, source, tmp_path / "out.parquet", rejects=tmp_path / "bad.csv")
    assert (scored.rows, scored.rejected, scored.rejects) == (3, 8, str(tmp_path / "bad.csv"))
    assert rows_of(tmp_path / "out.parquet") == [1, 7, 11]
    found = rejected(tmp_path / "bad.csv")
    assert [(row, line) for row, line, _ in found] == [
        ("2", "3"), ("3", "4"), ("4", "5"), ("5", "6"), ("6", "8"), ("8", "10"), ("9", "11"), ("10", "12")
    ]  # fmt: skip
    assert all(reason.startswith("the line is no JSON object: ") for _, _, reason in found[:4])
    assert [reason for _, _, reason in found[4:]] == [
        "carrier: ['UA'] is no text; dep: 5 is no time; distance: '700' is no number; "
        "night: 1 is not true or false",
        "carrier: holds a NUL character",
        "seats: the number is larger than a double holds",
        "dep: 'noon' is no time (ISO 8601)",
    ]


def test_bad_rows_of_parquet_are_set_aside(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(200)
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", rows))
    words = ["UA"] * 200
    words[150] = "U\x00A"
    moments = np.full(200, FIRST_DAY // 1000)
    moments[[3, 199]] = 2**62
    seats = np.full(200, 180, np.uint64)
    seats[3] = 2**63
    for name, column in (
        ("carrier", pa.array(words)),
        ("dep", pa.array(moments, pa.timestamp("ms"))),
        ("seats", pa.array(seats)),
    ):
        table = table.set_column(table.schema.names.index(name), name, column)
    pq.write_table(table, tmp_path / "in.parquet")
    scored = score(binary, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert (scored.rows, scored.rejected) == (197, 3)
    found = rejected(Path(scored.rejects))
    assert [(row, line) for row, line, _ in found] == [("4", ""), ("151", ""), ("200", "")]
    assert "dep: holds" in found[0][2] and "seats: holds 9223372036854775808" in found[0][2]
    assert found[1][2] == "carrier: holds a NUL character"


def test_the_rest_is_scored_as_if_the_bad_rows_were_not_there(binary: Release, tmp_path: Path) -> None:
    rows = plain_rows(90)
    text = write_csv(tmp_path / "in.csv", rows).read_text(encoding="utf-8").splitlines()
    for at in (70, 30, 1):
        text.insert(at, "x,y")
    text.append("z")
    (tmp_path / "in.csv").write_text("\n".join(text), encoding="utf-8")
    scored = score(binary, tmp_path / "in.csv", tmp_path / "out.csv")
    assert (scored.rows, scored.rejected) == (90, 4)
    written = read(tmp_path / "out.csv")
    assert [w["prediction"] for w in written] == [a["prediction"] for a in expected(binary, rows)]
    assert [w["row"] for w in written] == sorted(set(range(1, 94)) - {1, 31, 72})
    assert [r[:2] for r in rejected(Path(scored.rejects))] == [
        ["1", "2"],
        ["31", "32"],
        ["72", "73"],
        ["94", "95"],
    ]


def test_rows_that_are_bad_without_exception(binary: Release, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.csv", *["x" + GOOD, "1,2"] * 700)
    scored = score(binary, source, tmp_path / "out.csv")
    assert (scored.rows, scored.rejected) == (0, 1400)
    assert [int(r[0]) for r in rejected(Path(scored.rejects))] == list(range(1, 1401))
    assert rows_of(tmp_path / "out.csv") == []


def test_an_earlier_rejects_file_does_not_outlive_its_run(binary: Release, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.csv", GOOD, "1,2")
    aside = Path(score(binary, source, tmp_path / "out.csv").rejects)
    assert aside.exists()
    write_lines(source, GOOD)
    assert score(binary, source, tmp_path / "out.csv").rejects == ""
    assert not aside.exists()
    (tmp_path / "mine.csv").write_text("my,own\n")  # no rejects file: left alone
    score(binary, source, tmp_path / "out.csv", rejects=tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "my,own\n"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("in.csv", b"", "the file is empty"),
        ("in.csv", b"\n\n", "the file is empty"),
        ("in.jsonl", b" \n", "the file is empty"),
        ("in.jsonl", b'[{"distance": 1}]', "the file is one JSON list"),
        ("in.parquet", b"PAR1", "the file is no Parquet file, or is cut short"),
        ("in.csv", "distance\n".encode("utf-16"), "the file is UTF-16"),
        ("in.csv.gz", b"\x1f\x8bnothing", "the file can't be read"),
        ("in.txt", b"distance\n1\n", "files ending in .txt can't be scored"),
        ("in.parquet.gz", b"x", "files ending in .parquet.gz can't be scored"),
    ],
)
def test_files_that_are_refused(
    name: str, content: bytes, what: str, binary: Release, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        score(binary, tmp_path / name, tmp_path / "out.csv")
    assert caught.value.problems[0].what == what
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_quote_that_is_never_closed(binary: Release, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.csv", GOOD, GOOD.replace("UA", '"UA'), GOOD, GOOD)
    with pytest.raises(DataError, match="a quote that is opened here is never closed") as caught:
        score(binary, source, tmp_path / "out.csv")
    assert caught.value.problems[0].where == f"{source}:3"
    write_lines(source, GOOD, GOOD.replace("UA", 'U"A'), GOOD)  # amid a field it is no quote
    assert score(binary, source, tmp_path / "out.csv").rows == 3


def test_a_file_cut_short(binary: Release, tmp_path: Path) -> None:
    whole = write_csv(tmp_path / "whole.csv.gz", plain_rows(3000)).read_bytes()
    (tmp_path / "in.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="the file can't be read"):
        score(binary, tmp_path / "in.csv.gz", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_columns_of_another_type_are_refused_together(binary: Release, tmp_path: Path) -> None:
    rows = [{**r, "distance": "far", "night": 1, "dep": 5} for r in plain_rows(5)]
    pq.write_table(pa.table({n: pa.array([r[n] for r in rows]) for n in rows[0]}), tmp_path / "in.parquet")
    with pytest.raises(DataError) as caught:
        score(binary, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert sorted(p.what for p in caught.value.problems) == [
        "column 'dep' is int64, and the release reads a time",
        "column 'distance' is string, and the release reads a number",
        "column 'night' is int64, and the release reads a bool",
    ]


def test_a_column_of_nulls_alone_has_every_type(binary: Release, tmp_path: Path) -> None:
    rows = [dict.fromkeys(r) for r in plain_rows(5)]
    wanted = [a["prediction"] for a in expected(binary, rows)]
    pq.write_table(pa.table({n: pa.nulls(5) for n in rows[0]}), tmp_path / "in.parquet")
    for source in (
        tmp_path / "in.parquet",
        write_csv(tmp_path / "in.csv", rows),
        write_json(tmp_path / "in.jsonl", rows),
    ):
        score(binary, source, tmp_path / "out.csv")
        assert [w["prediction"] for w in read(tmp_path / "out.csv")] == wanted


def test_two_columns_of_one_name(binary: Release, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(",".join([*NAMES, "seats"]) + "\n" + GOOD + ",5\n")
    with pytest.raises(DataError, match="two columns are called 'seats'"):
        score(binary, tmp_path / "in.csv", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("dates", "what"),
    [
        (["01/02/2013", "03/04/2013"], "the times may be DD/MM/YYYY or MM/DD/YYYY"),
        (
            ["13/02/2013", "02/14/2013", "01/01/2013"],
            "the times are DD/MM/YYYY or MM/DD/YYYY, such as '13/02/2013' and '02/14/2013'",
        ),
    ],
)
def test_dates_that_may_be_read_two_ways_are_refused(
    dates: list[str], what: str, binary: Release, tmp_path: Path
) -> None:
    lines = [GOOD.replace("2013-06-01 05:15:00", d) for d in dates]
    with pytest.raises(DataError) as caught:
        score(binary, write_lines(tmp_path / "in.csv", *lines), tmp_path / "out.csv")
    assert [(p.what, p.where) for p in caught.value.problems] == [(what, "dep")]


def test_most_dates_decide_and_the_others_are_set_aside(binary: Release, tmp_path: Path) -> None:
    lines = [
        GOOD.replace("2013-06-01 05:15:00", d) for d in ("13/02/2013", "2013-02-03", "01/02/2013", "soon")
    ]
    scored = score(binary, write_lines(tmp_path / "in.csv", *lines), tmp_path / "out.csv")
    assert [r[::2] for r in rejected(Path(scored.rejects))] == [
        ["2", "dep: '2013-02-03' is no time (DD/MM/YYYY)"],
        ["4", "dep: 'soon' is no time (DD/MM/YYYY)"],
    ]


def test_places_that_can_not_be_written(binary: Release, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.csv", GOOD)
    (tmp_path / "link.csv").symlink_to(source)
    os.link(source, tmp_path / "hard.csv")
    before = source.read_bytes()
    for output, more, what in (
        ("in.csv", {}, "the output is the source itself"),
        ("link.csv", {}, "the output is the source itself"),
        ("hard.csv", {}, "the output is the source itself"),
        ("out.xlsx", {}, "files ending in .xlsx can't be written"),
        ("out", {}, "files ending in nothing can't be written"),
        ("no/where/out.csv", {}, f"there is no folder {tmp_path}/no/where"),
        ("out.csv", {"rejects": source}, "the rejects file is the source itself"),
        ("out.csv", {"rejects": tmp_path / "out.csv"}, "the rejects file is the output itself"),
        ("out.csv", {"rejects": tmp_path}, "that is a folder"),
    ):
        with pytest.raises(DataError) as caught:
            score(binary, source, tmp_path / output, **more)
        assert caught.value.problems[0].what == what
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hard.csv", "in.csv", "link.csv"]


def test_sources_that_are_not_there(binary: Release, tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("x\n")
    with pytest.raises(DataError, match=r"did you mean 'flights\.csv'"):
        score(binary, tmp_path / "flihgts.csv", tmp_path / "out.csv")
    with pytest.raises(DataError, match="that is a folder"):
        score(binary, tmp_path, tmp_path / "out.csv")


def test_a_mistake_leaves_the_old_output(binary: Release, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old")
    source = write_lines(tmp_path / "in.csv", GOOD, GOOD.replace("UA", '"UA'))
    with pytest.raises(DataError):
        score(binary, source, output)
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv", "out.csv"]


KILLED = """
import sys
from pathlib import Path
from headrace.core.codec import from_json
from headrace.release.manifest import Manifest
from headrace.serve.batch.file import score_file
from headrace.stores import EmbeddedStore

def tell(text, done, total):
    print(done, flush=True)
    sys.stdin.readline()

folder = Path(sys.argv[1])
manifest = from_json((folder / "manifest.json").read_bytes(), Manifest)
store = EmbeddedStore(Path(sys.argv[2]))
score_file(store, manifest, "r7", folder / "in.csv", folder / "out.csv", progress=tell)
"""


def test_a_killed_process_leaves_the_old_output(binary: Release, tmp_path: Path) -> None:
    store: Any = binary.store
    (tmp_path / "manifest.json").write_bytes(to_json(binary.manifest))
    (tmp_path / "out.csv").write_text("old")
    write_lines(tmp_path / "in.csv", *[GOOD] * 60_000)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    with process, process.stdout, process.stdin:
        assert 0 < int(process.stdout.readline()) < 60_000  # a part is written
        process.kill()
    assert (tmp_path / "out.csv").read_text() == "old"
    assert score(binary, tmp_path / "in.csv", tmp_path / "out.csv").rows == 60_000
    assert time.time() - (tmp_path / "out.csv").stat().st_mtime < 600
