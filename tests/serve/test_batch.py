"""Files scored: the same answers as a request's, from every kind of file, in the file's order."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from serve_releases import LONG_TAIL, Release, make_release, requests
from test_answer import same

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.core.task import Kind
from headrace.serve.answer import Answerer
from headrace.serve.batch.file import Scored, score_file

Row = dict[str, Any]


def plain_rows(n: int, seed: int = 5) -> list[Row]:
    """Requests that every kind of file can hold: an empty text is null in a CSV file."""
    rows = [{**row, "note": f"row {i}"} for i, row in enumerate(requests(n, seed))]
    return [{**row, "carrier": row["carrier"] or None} for row in rows]


def write_csv(path: Path, rows: list[Row], delimiter: str = ",") -> Path:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(rows[0])
        writer.writerows([_text(v) for v in row.values()] for row in rows)
    return path


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_json(path: Path, rows: list[Row]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    columns = {n: pa.array([row[n] for row in rows]) for n in rows[0]}
    columns["carrier"] = columns["carrier"].dictionary_encode()
    columns["seats"] = columns["seats"].cast(pa.uint16())
    columns["dep"] = pa_csv.read_csv(
        pa.py_buffer(b"dep\n" + "".join(f'"{row["dep"] or ""}"\n' for row in rows).encode())
    )["dep"].cast(pa.timestamp("ms"))
    pq.write_table(pa.table(columns), path, row_group_size=97)
    return path


WRITERS: dict[str, Callable[[Path, list[Row]], Path]] = {
    "in.csv": write_csv,
    "in.csv.gz": write_csv,
    "in.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "semicolons.csv": lambda path, rows: write_csv(path, rows, ";"),
    "in.jsonl": write_json,
    "in.parquet": write_parquet,
}


def score(release: Release, source: Path, output: Path, **more: Any) -> Scored:
    return score_file(release.store, release.manifest, release.name, source, output, **more)


def read(path: Path) -> list[Row]:
    table = pq.read_table(path) if path.suffix == ".parquet" else pa_csv.read_csv(path)
    rows: list[Row] = table.to_pylist()
    return rows


def expected(release: Release, rows: list[Row]) -> list[Row]:
    return Answerer(release.store, release.serving, release.name).answer(rows)


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_answers_of_a_request(
    name: str, binary: Release, tmp_path: Path
) -> None:
    rows = plain_rows(300)
    source = WRITERS[name](tmp_path / name, rows)
    for output in (tmp_path / "out.csv", tmp_path / "out.parquet"):
        scored = score(binary, source, output)
        assert scored == Scored(300, 0, "r7", str(output), "")
        written = read(output)
        assert list(written[0]) == ["row", "prediction", "probability", "release"]
        assert [w.pop("row") for w in written] == list(range(1, 301))
        assert same(written, expected(binary, rows))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "out.csv", "out.parquet"])


def test_multiclass_has_a_column_a_class(multiclass: Release, tmp_path: Path) -> None:
    rows = plain_rows(80)
    source = write_csv(tmp_path / "in.csv", rows)
    for name in ("out.csv", "out.parquet"):
        score(multiclass, source, tmp_path / name)
        for wrote, answer in zip(read(tmp_path / name), expected(multiclass, rows), strict=True):
            assert wrote["prediction"] == answer["prediction"]
            by_class = {c: wrote[f"probability_{c}"] for c in ("early", "on time", 'la"te')}
            assert by_class == pytest.approx(answer["probability"], rel=0, abs=1e-14)
            assert wrote["probability"] == by_class[wrote["prediction"]]


def test_regression_has_numbers(regression: Release, tmp_path: Path) -> None:
    rows = plain_rows(80)
    score(regression, write_csv(tmp_path / "in.csv", rows), tmp_path / "out.parquet")
    written = read(tmp_path / "out.parquet")
    assert list(written[0]) == ["row", "prediction", "release"]
    assert [w["prediction"] for w in written] == [a["prediction"] for a in expected(regression, rows)]


def test_numeric_classes_are_numbers(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "in.csv", plain_rows(40))
    for classes, kind in (((0.0, 1.0), pa.int64()), ((0.5, 1.0), pa.float64()), (("no", "yes"), pa.string())):
        release = make_release(tmp_path, Kind.BINARY, classes=classes)
        score(release, source, tmp_path / "out.parquet")
        column = pq.read_table(tmp_path / "out.parquet")["prediction"]
        assert column.type == kind
        assert set(column.to_pylist()) == set(classes)


def test_values_mean_what_they_mean_at_ingest(regression: Release, tmp_path: Path) -> None:
    """Spellings of null, blanks round numbers, infinities, quoted fields, times with and without a zone."""
    header = "distance,seats,night,carrier,origin,tail,dep\n"
    same_row = [
        f"NA,180,,UA,JFK,{LONG_TAIL},2013-06-01 05:15",
        f"inf, 180 ,null,UA,JFK,{LONG_TAIL}.0,2013-06-01 05:15:00.000",
        f'nan,"180.0",N/A,"UA","JFK"," {LONG_TAIL}",2013-06-01T05:15:00',
        f'1e999,+1.8e2,NaN,UA,JFK,{LONG_TAIL},"2013-06-01 05:15"',
    ]
    # one file a row: a column of whole numbers and one of fractions are columns of different types
    predictions = []
    for i, line in enumerate(same_row):
        source = tmp_path / f"{i}.csv"
        source.write_text(header + line + "\n", encoding="utf-8")
        score(regression, source, tmp_path / "out.parquet")
        predictions.append(read(tmp_path / "out.parquet")[0]["prediction"])
    row = {
        "distance": None,
        "seats": 180,
        "night": None,
        "carrier": "UA",
        "origin": "JFK",
        "tail": LONG_TAIL,
        "dep": "2013-06-01T09:15:00Z",
    }
    (answer,) = expected(regression, [row])
    assert predictions[0] == predictions[3] == answer["prediction"]
    (neighbour,) = expected(regression, [{**row, "tail": LONG_TAIL - 1}])  # what a double makes of it
    assert predictions[1] == neighbour["prediction"]


def test_times_in_other_spellings(regression: Release, tmp_path: Path) -> None:
    rows = plain_rows(60)
    wanted = [a["prediction"] for a in expected(regression, rows)]
    spelled = [
        {**row, "dep": row["dep"] and f"{row['dep'][5:7]}/{row['dep'][8:10]}/2013 {row['dep'][11:]}"}
        for row in rows
    ]
    spelled.append({**spelled[0], "dep": "12/31/2013 00:00:00"})  # tells day from month
    for name in ("in.csv", "in.jsonl"):
        score(regression, WRITERS[name](tmp_path / name, spelled), tmp_path / "out.parquet")
        assert [w["prediction"] for w in read(tmp_path / "out.parquet")][:-1] == wanted
    zoned = [{**row, "dep": row["dep"] and row["dep"] + "-04:00"} for row in rows]
    pq.write_table(
        pa.table({n: pa.array([r[n] for r in zoned]) for n in zoned[0]}), tmp_path / "texts.parquet"
    )
    for source in (write_csv(tmp_path / "zoned.csv", zoned), tmp_path / "texts.parquet"):
        score(regression, source, tmp_path / "out.parquet")
        assert [w["prediction"] for w in read(tmp_path / "out.parquet")] == wanted


def test_order_of_columns_and_further_columns_do_not_matter(regression: Release, tmp_path: Path) -> None:
    rows = plain_rows(50)
    turned = [{"x": 1, **dict(reversed(row.items())), "y": "b"} for row in rows]
    for name in ("in.csv", "in.jsonl", "in.parquet"):
        score(regression, WRITERS[name](tmp_path / name, turned), tmp_path / "out.parquet")
        assert [w["prediction"] for w in read(tmp_path / "out.parquet")] == [
            a["prediction"] for a in expected(regression, rows)
        ]


def test_quoted_lines_blank_lines_and_a_byte_order_mark(regression: Release, tmp_path: Path) -> None:
    rows = plain_rows(20)
    for row in rows:
        row["note"] = 'two\nlines, and a "quote"'
    text = write_csv(tmp_path / "in.csv", rows).read_text(encoding="utf-8")
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbf\r\n" + text.replace("\r\n", "\r\n\r\n").encode())
    assert score(regression, tmp_path / "in.csv", tmp_path / "out.parquet").rows == 20
    assert [w["prediction"] for w in read(tmp_path / "out.parquet")] == [
        a["prediction"] for a in expected(regression, rows)
    ]


def test_a_header_alone_gives_no_rows(binary: Release, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(",".join(plain_rows(1)[0]) + "\n")
    pq.write_table(
        pq.read_table(write_parquet(tmp_path / "a.parquet", plain_rows(3)))[:0], tmp_path / "in.parquet"
    )
    for source in (tmp_path / "in.csv", tmp_path / "in.parquet"):
        for output in (tmp_path / "out.csv", tmp_path / "out.parquet"):
            assert score(binary, source, output) == Scored(0, 0, "r7", str(output), "")
            assert output.exists()
    assert pq.read_table(tmp_path / "out.parquet").column_names == [
        "row",
        "prediction",
        "probability",
        "release",
    ]


def test_progress_is_told(binary: Release, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    rows = plain_rows(50)
    for name in ("in.csv", "in.parquet"):
        score(
            binary,
            WRITERS[name](tmp_path / name, rows),
            tmp_path / "out.csv",
            progress=lambda text, done, total: told.append((text, done, total)),
        )
    assert told == [("scoring", 50, 0), ("scoring", 50, 50)]


def test_the_dialect_is_that_of_ingest(tmp_path: Path) -> None:
    from headrace.data.csvfile import open_csv
    from headrace.serve.source_csv import _dialect

    for text in (
        "a,b\n1,2\n",
        "a;b;c,d\n1;2;3\n",
        '"a;;;",b\n1,2\n',
        "a|b\n1|2\n",
        "\n\na\tb\n1\t2\n",
        "a\n1\n",
    ):
        path = tmp_path / "x.csv"
        path.write_text(text)
        assert _dialect(path)[1] == open_csv([path], ["x.csv"]).schema.names


def test_a_release_without_columns_scores_every_row(binary: Release, tmp_path: Path) -> None:
    from headrace.serve.files import open_source

    rows = plain_rows(7)
    for name in ("in.csv", "in.jsonl", "in.parquet"):
        path = WRITERS[name](tmp_path / name, rows)
        chunks = list(open_source(path, {}, zone="UTC", keys=frozenset()).chunks())
        assert [c.rows.tolist() for c in chunks] == [list(range(1, 8))]
    assert binary.serving.event_types()["dep"] is Type.TIME


def test_a_header_that_is_no_utf8_is_said_to_be_so(binary: Release, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes("größe,tail\n1,N1\n".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        score(binary, tmp_path / "in.csv", tmp_path / "out.csv")
    assert {p.fix for p in caught.value.problems} == {"save the file as UTF-8: its header is none"}


def test_a_missing_column_is_named(binary: Release, tmp_path: Path) -> None:
    rows = [
        {("distanse" if k == "distance" else k): v for k, v in r.items() if k != "tail"}
        for r in plain_rows(5)
    ]
    for name in ("in.csv", "in.jsonl", "in.parquet"):
        with pytest.raises(DataError) as caught:
            score(binary, WRITERS[name](tmp_path / name, rows), tmp_path / "out.csv")
        assert next((p.what, p.fix) for p in caught.value.problems) == (
            "there is no column 'distance'",
            "did you mean 'distanse'?",
        )
        assert [p.what for p in caught.value.problems][1:] == ["there is no column 'tail'"]
        assert not (tmp_path / "out.csv").exists()
