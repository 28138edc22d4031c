"""MLflow's scoring protocol: asked by MLflow's own client, and by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asgi_client import Client, answered
from serve_releases import LONG_TAIL, Release, published, requests
from served import Running, served
from test_answer import ROW, same

from headrace.core.schema import CSV_NULLS
from headrace.serve.answer import Answerer
from headrace.serve.files import open_source
from headrace.serve.http.app import make_app

ASK = """
import json, sys
import numpy as np, pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

client = ScoringServerClient("127.0.0.1", int(sys.argv[1]))
client.wait_server_ready(10)
frame = pd.DataFrame(json.load(sys.stdin))
told = client.invoke(frame)
listed = client.invoke(frame.to_dict(orient="records"), params={"explain": False})
print(json.dumps([client.get_version(), told.get_predictions().to_dict("records"),
                  listed.get_predictions(predictions_format="ndarray").tolist()]))
"""


@pytest.fixture(scope="module")
def server(binary: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(published(binary, tmp_path_factory.mktemp("mlflow"))) as there:
        yield there


@pytest.fixture(scope="module")
def client(binary: Release) -> Client:
    return Client(make_app(binary.store, binary.manifest, binary.name))


def test_the_probes(server: Running) -> None:
    assert server.ask("GET", "/ping")[0] == 200
    status, headers, body = server.ask("GET", "/version")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body.startswith(b"headrace ")


def test_mlflows_own_client(server: Running, binary: Release) -> None:
    """A frame with gaps: pandas' NaN comes as a bare NaN in the JSON."""
    rows = exact(40)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(server.port)],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version, told, listed = json.loads(done.stdout.splitlines()[-1])
    expected = Answerer(binary.store, binary.serving, "r7").answer(rows)
    assert version.startswith("headrace ")
    assert [{k: t[k] for k in expected[0]} for t in told] == expected
    assert len(listed) == 40


def exact(n: int) -> list[dict[str, Any]]:
    """Rows whose whole numbers pandas keeps beside a null: those that a double holds."""
    return [r if r["tail"] is None else {**r, "tail": LONG_TAIL - 1} for r in requests(n)]


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"distance": "float64"})


def split_body(rows: list[dict[str, Any]]) -> str:
    """As mlflow's client writes a frame: `json.dumps` of `to_dict`, with NaN in it."""
    return json.dumps({"dataframe_split": frame(rows).to_dict(orient="split")}, default=str)


def test_every_shape_gives_the_same(client: Client, binary: Release) -> None:
    rows = requests(12)
    expected = Answerer(binary.store, binary.serving, "r7").answer(rows)
    names = list(binary.serving.event_types())
    columns = {n: [r[n] for r in rows] for n in names}
    plain = {"columns": names, "data": [[r[n] for n in names] for r in rows]}
    for body in (
        {"dataframe_split": plain},
        {"dataframe_split": {**plain, "index": list(range(12))}},
        {"dataframe_records": rows},
        {"instances": rows},
        {"instances": columns},
        {"inputs": columns},
        {"inputs": rows},
        {"inputs": plain["data"], "params": {}},
        {"inputs": rows, "params": None},
    ):
        response = client.post("/invocations", json=body)
        assert list(response.json()) == ["predictions"]
        assert answered(response) == expected
    one = client.post("/invocations", json={"inputs": rows[0]})
    assert same(answered(one), expected[:1])
    assert client.post("/invocations", json={"inputs": []}).json() == {"predictions": []}


def test_nan_is_null_and_infinity_a_mistake(client: Client, binary: Release) -> None:
    rows = exact(12)
    expected = Answerer(binary.store, binary.serving, "r7").answer(rows)
    body = split_body(rows)
    assert "NaN" in body
    assert same(answered(client.post("/invocations", content=body)), expected)
    text = json.dumps(
        {"inputs": [{**ROW, "carrier": 'a "NaN" and Infinity\\'}, {**ROW, "distance": float("inf")}]}
    )
    response = client.post("/invocations", content=text)
    assert response.status_code == 422
    (problem,) = response.json()["errors"]
    assert problem["where"] == "rows[1].distance"
    text = text.replace(": Infinity", ": NaN")
    assert client.post("/invocations", content=text).status_code == 200


def test_csv_as_pandas_writes_it(client: Client, binary: Release) -> None:
    rows = [r for r in exact(40) if r["carrier"] not in ("NA ", "")]
    expected = Answerer(binary.store, binary.serving, "r7").answer(rows)
    for index in (True, False):
        text = pd.DataFrame(rows).astype({"tail": "Int64", "night": "boolean"}).to_csv(index=index)
        response = client.post(
            "/invocations", content=text, headers={"Content-Type": "text/csv; charset=UTF-8"}
        )
        assert answered(response) == expected


@pytest.mark.parametrize(
    ("text", "status", "where"),
    [
        ("", 422, ""),
        ("a,b\n1,2", 422, "line 1"),
        ("distance,b\n1", 422, "rows[0]"),
        ("distance,distance\n1,2", 422, "line 1"),
        (b"\xff", 400, ""),
        ('a,b\n"1', 400, ""),
        ("distance\nfar", 422, "distance"),
        ("distance\ninf", 422, "distance"),
        ("night\nyes", 422, "night"),
        ("distance\n" + "9" * 400, 422, "distance"),
        ("distance\n1_000", 422, "distance"),
        ("distance\n１２", 422, "distance"),
        ("distance\n0x10", 422, "distance"),
        (b"distance\n" + b"1\n" * 20_000 + b'"\xff', 413, ""),  # read no further
    ],
)
def test_odd_csv(client: Client, text: str | bytes, status: int, where: str) -> None:
    response = client.post("/invocations", content=text, headers={"Content-Type": "text/csv"})
    assert response.status_code == status
    assert where in {e["where"] for e in response.json()["errors"]}


def test_a_field_of_csv_is_what_files_to_score_have(binary: Release, tmp_path: Path) -> None:
    """The same cells, read by `headrace predict` and asked here: null, a number, or a mistake of its row."""
    serving = replace(binary.serving, nulls=("k.A.",))
    manifest = replace(binary.manifest, serving=serving)
    client = Client(make_app(binary.store, manifest, binary.name))
    cells = [*CSV_NULLS, "k.A.", "1_000", "１２", "+5", " 7 ", "1e5", ".5", "0x10", "--5", "na", "far"]
    header, asked = ",".join(ROW), {}
    for column in ("carrier", "distance"):
        lines = [",".join(f'"{v}"' for v in {**ROW, column: cell}.values()) for cell in cells]
        file = tmp_path / f"{column}.csv"
        file.write_text("\n".join([header, *lines]).replace("None", ""))
        source = open_source(
            file, serving.event_types(), zone=serving.zone, keys=frozenset(), nulls=serving.nulls
        )
        (chunk,) = source.chunks()
        values = chunk.columns[column].to_pylist()
        for at, cell in enumerate(cells):
            body = "\n".join([header, lines[at]]).replace("None", "")
            told = client.post("/invocations", content=body, headers={"Content-Type": "text/csv"})
            if at in chunk.bad:
                assert (told.status_code, told.json()["errors"][0]["where"]) == (422, column), cell
                continue
            plain = client.post("/predict", json={**ROW, column: values[at]})
            asked[column, cell] = answered(told)[0]
            assert same([asked[column, cell]], [answered(plain)]), cell
    assert len(asked) == 2 * len(cells) - 6 and asked["carrier", "NA"] == asked["carrier", ""]


@pytest.mark.parametrize(
    "media",
    ["application/x-parquet", "text/plain", "application/json; charset=latin-1", "text/csv; header=no", ""],
)
def test_other_media_are_a_415(client: Client, media: str) -> None:
    response = client.post("/invocations", content=b"{}", headers={"Content-Type": media})
    assert response.status_code == 415
    assert response.json()["errors"][0]["where"] == "Content-Type"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], ""),
        ({}, ""),
        ({"inputs": [], "instances": []}, ""),
        ({"inputs": [], "signature_name": "a"}, "signature_name"),
        ({"inputs": [], "params": {"temperature": 1}}, "params.temperature"),
        ({"inputs": [], "params": [1]}, "params"),
        ({"inputs": [], "params": False}, "params"),
        ({"inputs": [], "params": {"explain": -1}}, "explain"),
        ({"inputs": 5}, "inputs"),
        ({"inputs": {"distance": [1], "seats": [1, 2]}}, "inputs.distance"),
        ({"inputs": {"distance": [1], "seats": 2}}, "inputs.seats"),
        ({"inputs": [[1, 2]]}, "inputs[0]"),
        ({"dataframe_records": {"a": 1}}, "dataframe_records"),
        ({"dataframe_split": []}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a"]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["a", 5], "data": []}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "dataframe_split.data[0]"),
        ({"dataframe_split": {"columns": ["a"], "data": 5}}, "dataframe_split.data"),
    ],
)
def test_odd_bodies_are_named(client: Client, body: Any, where: str) -> None:
    response = client.post("/invocations", json=body)
    assert response.status_code == 422
    assert where in {e["where"] for e in response.json()["errors"]}


@pytest.mark.parametrize(("params", "where"), [({"route": "b"}, "route"), ({"release": "r8"}, "release")])
def test_what_is_not_there_is_a_404(client: Client, params: dict[str, str], where: str) -> None:
    response = client.post("/invocations", json={"inputs": [ROW], "params": params})
    assert (response.status_code, response.json()["errors"][0]["where"]) == (404, where)
    response = client.post(f"/predict?{where}={params[where]}", json=ROW)
    assert (response.status_code, response.json()["errors"][0]["where"]) == (404, where)
