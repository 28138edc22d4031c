"""The Open Inference Protocol: asked by tritonclient over a real socket, and by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from asgi_client import Client
from desk_world import Kept, planned
from serve_releases import Release, published, requests
from served import Running, served
from test_answer import ROW, same
from tritonclient.utils import InferenceServerException

from headrace.core.schema import Type
from headrace.core.spec.serve import Rule
from headrace.serve.answer import Answerer
from headrace.serve.http.app import make_app

INFER = "/v2/models/flights/infer"


@pytest.fixture(scope="module")
def server(binary: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(published(binary, tmp_path_factory.mktemp("v2"))) as there:
        yield there


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as there:
        yield there


@pytest.fixture(scope="module")
def here(binary: Release) -> Client:
    return Client(make_app(binary.store, binary.manifest, binary.name))


def tensor(name: str, array: np.ndarray, datatype: str, *, binary: bool) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def tensors(release: Release, rows: list[dict[str, Any]], *, binary: bool) -> list[triton.InferInput]:
    """Rows as a caller of tritonclient sends them: NaN for null numbers, masks for other nulls."""
    made = []
    for name, kind in release.serving.event_types().items():
        values = [row[name] for row in rows]
        if kind is Type.NUMBER and name != "tail":
            numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            made.append(tensor(name, numbers, "FP64", binary=binary))
            continue
        if name == "tail":
            array, datatype = np.array([v or 0 for v in values], dtype=np.int64), "INT64"
        elif kind is Type.BOOL:
            array, datatype = np.array([bool(v) for v in values]), "BOOL"
        else:
            array, datatype = np.array([v or "" for v in values], dtype=object), "BYTES"
            if kind is Type.TIME:
                array = np.array([v or "2013-06-01" for v in values], dtype=object)
        made.append(tensor(name, array, datatype, binary=binary))
        nulls = np.array([v is None for v in values])
        if nulls.any():
            made.append(tensor(f"{name}.null", nulls, "BOOL", binary=binary))
    return made


def test_what_the_server_is(client: triton.InferenceServerClient, binary: Release) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("flights") and client.is_model_ready("flights", "r7")
    assert not client.is_model_ready("other") and not client.is_model_ready("flights", "r8")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("flights")
    assert (told["name"], told["versions"], told["platform"]) == ("flights", ["r7"], "onnx_onnxv1")
    assert {(t["name"], t["datatype"]) for t in told["inputs"]} >= {
        ("distance", "FP64"),
        ("night", "BOOL"),
        ("carrier", "BYTES"),
        ("dep", "BYTES"),
    }
    assert {t["name"] for t in told["inputs"]} == set(binary.serving.event_types())
    outputs = {t["name"]: (t["datatype"], t["shape"]) for t in told["outputs"]}
    assert outputs["prediction"] == ("BOOL", [-1]) and outputs["probability"] == ("FP64", [-1])
    assert outputs["id"] == ("BYTES", [-1])


@pytest.mark.parametrize("as_bytes", [True, False])
def test_tritonclient_gets_what_the_release_says(
    client: triton.InferenceServerClient, binary: Release, as_bytes: bool
) -> None:
    rows = requests(60)
    expected = Answerer(binary.store, binary.serving, binary.name).answer(rows)
    wanted = (
        None
        if as_bytes
        else [
            triton.InferRequestedOutput(n, binary_data=False)
            for n in ("prediction", "probability", "id", "release")
        ]
    )
    result = client.infer(
        "flights", tensors(binary, rows, binary=as_bytes), outputs=wanted, request_id="a1", model_version="r7"
    )
    head = result.get_response()
    assert (head["id"], head["model_name"], head["model_version"]) == ("a1", "flights", "r7")
    got = [
        {"prediction": bool(p), "probability": float(q), "release": r if isinstance(r, str) else r.decode()}
        for p, q, r in zip(
            result.as_numpy("prediction"),
            result.as_numpy("probability"),
            result.as_numpy("release"),
            strict=True,
        )
    ]
    assert got == expected
    assert len({*result.as_numpy("id")}) == 60
    assert ("binary_data_size" in result.get_output("probability").get("parameters", {})) is as_bytes


def test_its_errors_name_the_field(client: triton.InferenceServerClient, binary: Release) -> None:
    rows = requests(3)
    with pytest.raises(InferenceServerException, match="carrier: the field is missing") as told:
        client.infer("flights", [t for t in tensors(binary, rows, binary=True) if t.name() != "carrier"])
    assert told.value.status() == "422"
    with pytest.raises(InferenceServerException, match="name: there is no such model"):
        client.infer("other", tensors(binary, rows, binary=True))
    with pytest.raises(InferenceServerException, match="version: there is no such version"):
        client.infer("flights", tensors(binary, rows, binary=True), model_version="r8")
    with pytest.raises(InferenceServerException, match=r"outputs\[0\]: there is no such output"):
        client.infer(
            "flights", tensors(binary, rows, binary=True), outputs=[triton.InferRequestedOutput("odds")]
        )


def test_other_tasks(multiclass: Release, regression: Release) -> None:
    rows = requests(5)
    for release, name in ((multiclass, "probability"), (regression, "prediction")):
        app = Client(make_app(release.store, release.manifest, "r7"))
        columns = [
            {"name": n, "shape": [5], "datatype": _datatype(kind), "data": [r[n] for r in rows]}
            for n, kind in release.serving.event_types().items()
        ]
        body = app.post(INFER, json={"inputs": columns, "outputs": [{"name": name}]}).json()
        (output,) = body["outputs"]
        answers = Answerer(release.store, release.serving, "r7").answer(rows)
        if release is multiclass:
            assert output["shape"] == [5, 3]
            assert output["data"] == [p for a in answers for p in a["probability"].values()]
        else:
            assert output["data"] == [a["prediction"] for a in answers]


def _datatype(kind: Type) -> str:
    return {Type.NUMBER: "FP64", Type.BOOL: "BOOL"}.get(kind, "BYTES")


def inputs(**changed: Any) -> list[dict[str, Any]]:
    """One row as JSON tensors, some of them changed."""
    made = []
    for name, value in ROW.items():
        kind = "BOOL" if isinstance(value, bool) else "BYTES" if isinstance(value, str) else "FP64"
        made.append(
            {"name": name, "shape": [1, 1], "datatype": kind, "data": [value]} | changed.get(name, {})
        )
    return made


def test_json_nests_and_has_nulls(here: Client, binary: Release) -> None:
    expected = Answerer(binary.store, binary.serving, "r7").answer([{**ROW, "distance": None, "night": None}])
    body = {"inputs": inputs(distance={"data": [[None]]}, night={"data": [None]})}
    outputs = {o["name"]: o["data"] for o in here.post(INFER, json=body).json()["outputs"]}
    assert same([{k: outputs[k][0] for k in expected[0]}], expected)
    text = json.dumps(body).replace("[[null]]", "[NaN]")
    assert here.post(INFER, content=text).status_code == 200


@pytest.mark.parametrize(
    ("changed", "where", "what"),
    [
        ({"data": ["7"]}, "inputs.distance.data[0]", "expected FP64, found text"),
        ({"data": [True]}, "inputs.distance.data[0]", "expected FP64, found true or false"),
        ({"datatype": "INT8", "data": [1.5]}, "inputs.distance.data[0]", "expected INT8, found a number"),
        ({"datatype": "BF16"}, "inputs.distance.datatype", "there is no such datatype"),
        ({"datatype": ["FP64"]}, "inputs.distance.datatype", "there is no such datatype"),
        ({"shape": [2]}, "inputs.distance.shape", "the shape says 2 values, there are 1"),
        ({"shape": [1, 2]}, "inputs.distance.shape", "a column is of shape [rows] or [rows, 1]"),
        ({"shape": [-1]}, "inputs.distance.shape", "a shape is a list of whole numbers"),
        ({"shape": "1"}, "inputs.distance.shape", "a shape is a list of whole numbers"),
        ({"data": 5}, "inputs.distance.data", "data are a list"),
        ({"data": None}, "inputs.distance.data", "data are a list"),
        ({"shape": [2], "data": [1, 2]}, "inputs", "tensors have 1 and 2 rows"),
        ({"name": 5}, "inputs[0].name", "a tensor has a name"),
        ({"name": "night"}, "inputs.night", "there are two tensors of this name"),
        ({"parameters": 5}, "inputs.distance.parameters", "`parameters` has to be an object"),
        (
            {"parameters": {"shared_memory_region": "a"}},
            "inputs.distance.parameters",
            "shared_memory_region is not supported",
        ),
        (
            {"parameters": {"binary_data_size": 8}},
            "inputs.distance.parameters.binary_data_size",
            "it is no number of bytes up to the 0 that are left",
        ),
    ],
)
def test_odd_tensors_are_named(here: Client, changed: dict[str, Any], where: str, what: str) -> None:
    response = here.post(INFER, json={"inputs": inputs(distance=changed)})
    assert response.status_code == 422
    body = response.json()
    assert (where, what) in {(e["where"], e["what"]) for e in body["errors"]}
    assert body["error"] == body["detail"]


def test_a_mask_of_a_mask_is_no_column(here: Client) -> None:
    masks = [{"name": n, "datatype": "BOOL", "shape": [1], "data": [True]}
             for n in ("distance.null", "distance.null.null")]  # fmt: skip
    response = here.post(INFER, json={"inputs": [*inputs(), *masks]})
    assert response.status_code == 422
    assert [e["where"] for e in response.json()["errors"]] == ["distance.null.null"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ([], ""),
        ({}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [5]}, "inputs[0]"),
        ({"inputs": [], "outputs": 5}, "outputs"),
        ({"inputs": [], "parameters": []}, "parameters"),
        ({"inputs": [], "id": 5}, "id"),
        ({"inputs": [], "parameters": {"explain": "very"}}, "explain"),
    ],
)
def test_odd_requests_are_named(here: Client, body: Any, where: str) -> None:
    response = here.post(INFER, json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["where"] == where


def test_an_output_that_there_is_none_of_is_refused_before_anybody_is_asked(binary: Release) -> None:
    log = Kept()
    there = Client(make_app(binary.store, binary.manifest, binary.name, log=log))
    for odd in ({"name": "probabilty"}, {"name": "id", "parameters": {"classification": 3}}):
        response = there.post(INFER, json={"inputs": inputs(), "outputs": [{"name": "id"}, odd]})
        assert response.status_code == 422 and log.entries == []
    assert there.post(INFER, json={"inputs": inputs()}).status_code == 200 and len(log.entries) == 1


def test_what_few_answers_have_comes_where_one_has_it(binary: Release) -> None:
    rule = Rule(name="far", when="distance > 2000", answer=True)
    manifest = planned(binary, after=[rule])
    there = Client(make_app(binary.store, manifest, binary.name))

    def outputs(body: dict[str, Any]) -> dict[str, Any]:
        response = there.post(INFER, json=body)
        assert response.status_code == 200
        return {o["name"]: (o["datatype"], o["data"]) for o in response.json()["outputs"]}

    plain = outputs({"inputs": inputs()})
    assert plain["route"] == ("BYTES", ["default"])
    assert plain.keys().isdisjoint({"why", "features", "overruled"})
    asked = outputs({"inputs": inputs(), "outputs": [{"name": n} for n in ("why", "features", "overruled")]})
    assert asked == {"why": ("BYTES", [""]), "features": ("BYTES", [""]), "overruled": ("BOOL", [None])}

    native = there.post("/predict", json={**ROW, "distance": 2400.0}).json()
    told = outputs({"inputs": inputs(distance={"data": [2400.0]})})
    assert told["overruled"] == ("BOOL", [native["overruled"]])
    named = {o["name"] for o in there.get("/v2/models/flights").json()["outputs"]}
    assert {"why", "features", "overruled", "route"} <= named


def packed(head: Any, blob: bytes, length: str | None = None) -> dict[str, Any]:
    text = json.dumps(head).encode()
    header = str(len(text)) if length is None else length
    return {"content": text + blob, "headers": {"Inference-Header-Content-Length": header}}


@pytest.mark.parametrize(
    ("datatype", "blob", "what"),
    [
        ("FP64", b"1234", "4 bytes are no values of 8 bytes"),
        ("FP64", struct.pack("<d", float("inf")), "infinity is no value of a column"),
        ("BOOL", b"\x02", "a BOOL is a byte of 0 or 1"),
        ("BYTES", struct.pack("<I", 9) + b"abc", "its bytes end within a value"),
        ("BYTES", b"ab", "its bytes end within a value"),
        ("BYTES", struct.pack("<I", 1) + b"\xff", "the bytes are no UTF-8"),
    ],
)
def test_odd_bytes_are_named(here: Client, datatype: str, blob: bytes, what: str) -> None:
    tensor = {
        "name": "distance",
        "shape": [1],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(blob)},
    }
    response = here.post(INFER, **packed({"inputs": [tensor]}, blob))
    assert response.status_code == 422
    assert response.json()["errors"][0]["what"] == what
    response = here.post(INFER, **packed({"inputs": []}, b"123"))
    assert response.json()["errors"][0]["what"] == "3 bytes belong to no tensor"


@pytest.mark.parametrize("length", ["", "-1", "9" * 30, "abc", "99999999"])
def test_an_odd_header_is_a_400(here: Client, length: str) -> None:
    response = here.post(INFER, **packed({"inputs": []}, b"", length))
    assert response.status_code == 400
    assert response.json()["errors"][0]["where"] == "Inference-Header-Content-Length"


def test_small_numbers_are_numbers(here: Client, binary: Release) -> None:
    """Every datatype of numbers, as bytes."""
    expected = Answerer(binary.store, binary.serving, "r7").answer([{**ROW, "seats": 7}])[0]["probability"]
    formats = {
        **{"FP16": "e", "FP32": "f", "FP64": "d"},
        **{"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"},
        **{"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"},
    }
    for datatype, code in formats.items():
        blob = struct.pack(f"<{code}", 7)
        there = inputs(
            seats={"datatype": datatype, "data": None, "parameters": {"binary_data_size": len(blob)}}
        )
        body = here.post(
            INFER, **packed({"inputs": there, "outputs": [{"name": "probability"}]}, blob)
        ).json()
        assert body["outputs"][0]["data"] == [expected]
