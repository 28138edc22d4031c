"""The HTTP application: predictions, the schema, and one shape of error for everything."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from asgi_client import Client, answered
from serve_releases import Release, requests
from test_answer import ROW, same

from headrace.core.errors import StoreError
from headrace.serve.answer import Answerer
from headrace.serve.http import native
from headrace.serve.http.app import make_app


@pytest.fixture(scope="module")
def client(binary: Release) -> Client:
    return Client(make_app(binary.store, binary.manifest, binary.name))


def errors(response: Any, status: int) -> list[dict[str, str]]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert list(body) == ["type", "title", "status", "detail", "errors"] and body["errors"]
    assert body["status"] == status
    assert all(set(e) == {"what", "where", "why", "fix"} for e in body["errors"])
    found: list[dict[str, str]] = body["errors"]
    return found


def test_one_row_and_many(client: Client, binary: Release) -> None:
    rows = requests(40)
    expected = Answerer(binary.store, binary.serving, binary.name).answer(rows)
    assert same([answered(client.post("/predict", json=rows[0]))], expected[:1])
    assert answered(client.post("/predict", json=rows)) == expected
    assert answered(client.post("/predict", json={"rows": rows[:3]})) == expected[:3]
    assert client.post("/predict", json=[]).json() == {"predictions": []}
    assert client.post("/predict", json={"rows": []}).json() == {"predictions": []}


def test_what_there_is(client: Client) -> None:
    assert client.get("/health").json() == {"status": "ok", "release": "r7"}
    index = client.get("/").json()
    paths = {"POST /predict", "GET /schema", "GET /health", "POST /events", "GET /online"}
    assert index["release"] == "r7" and paths <= set(index["paths"])
    assert client.request("HEAD", "/health").status_code == 200


def test_the_schema_says_what_to_send(client: Client) -> None:
    schema = client.get("/schema").json()
    fields = {f["name"]: f for f in schema["fields"]}
    assert set(fields) == set(ROW)
    assert fields["distance"] == {
        "name": "distance",
        "type": "number",
        "key": False,
        "low": 0.0,
        "high": 2500.0,
        "null_share": 0.05,
    }
    assert fields["carrier"]["categories"][0] == "AA"
    assert fields["tail"] == {"name": "tail", "type": "number", "key": True}
    assert (fields["dep"]["low"], fields["dep"]["high"]) == (
        "2013-06-01T04:00:00.000000Z",
        "2013-06-03T04:00:00.000000Z",
    )
    assert {(f["name"], f["table"]) for f in schema["looked_up"]} == {
        ("weather.wind", "weather"),
        ("weather.sky", "weather"),
        ("planes.built", "planes"),
        ("planes.leased", "planes"),
        ("planes.since", "planes"),
    }
    assert (schema["classes"], schema["ignored"], schema["threshold"]) == ([False, True], ["note"], 0.4)
    assert schema["answer"] == {
        "prediction": "false or true",
        "probability": "number: of true",
        "release": "string",
    }


def test_schemas_of_other_tasks(multiclass: Release, regression: Release) -> None:
    for release, prediction in ((multiclass, 'early or on time or la"te'), (regression, "number")):
        client = Client(make_app(release.store, release.manifest, "r1"))
        assert client.get("/schema").json()["answer"]["prediction"] == prediction
        assert client.post("/predict", json=ROW).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        '{"distance": NaN}',
        '{"distance": Infinity}',
        "[1,",
        b'{"carrier": "\xff"}',
        "[" * 100_000,
        "01",
    ],
)
def test_what_is_no_json_is_a_400(client: Client, body: str | bytes) -> None:
    assert errors(client.post("/predict", content=body), 400)[0]["what"].startswith("the body is no JSON: ")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (5, "send one row as an object, or many as a list of objects"),
        ("text", "send one row as an object, or many as a list of objects"),
        (None, "send one row as an object, or many as a list of objects"),
        ({"rows": 5}, "`rows` has to be a list of objects"),
        ([5], "a row has to be an object, not a number"),
        ([ROW, [1]], "a row has to be an object, not a list"),
    ],
)
def test_what_is_no_row_is_a_422(client: Client, body: Any, what: str) -> None:
    response = client.post("/predict", content=json.dumps(body))
    assert errors(response, 422)[0]["what"] == what


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"distance": "700"}, "expected number, found '700'"),
        ({"distance": True}, "expected number, found True"),
        ({"distance": [1]}, "expected number, found [1]"),
        ({"night": "true"}, "expected bool, found 'true'"),
        ({"carrier": 5}, "expected text, found 5"),
        ({"carrier": "a\x00b"}, "the text holds the character U+0000"),
        ({"dep": 1370059200}, "expected time, found 1370059200"),
        ({"dep": "2013-02-30"}, "expected time, found '2013-02-30'"),
    ],
)
def test_wrong_fields_are_a_422_that_names_them(client: Client, changed: Any, what: str) -> None:
    (problem,) = errors(client.post("/predict", json={**ROW, **changed}), 422)
    assert (problem["where"], problem["what"]) == (next(iter(changed)), what)
    assert problem["fix"]
    (problem,) = errors(client.post("/predict", json=[ROW, {**ROW, **changed}]), 422)
    assert problem["where"] == f"rows[1].{next(iter(changed))}"


def test_huge_numbers(client: Client) -> None:
    assert client.post("/predict", json={**ROW, "distance": 10**300}).status_code == 200
    (problem,) = errors(client.post("/predict", json={**ROW, "distance": 10**400}), 422)
    assert problem["where"] == "distance"


def test_repeated_keys_count_once(client: Client) -> None:
    text = json.dumps(ROW)[:-1] + ', "distance": 700.5}'
    assert answered(client.post("/predict", content=text)) == answered(client.post("/predict", json=ROW))


def test_other_paths_and_methods(client: Client) -> None:
    assert errors(client.get("/nothing"), 404)[0]["where"] == "/nothing"
    response = client.get("/predict")
    (problem,) = errors(response, 405)
    assert response.headers["allow"] == "POST"
    assert problem["fix"].startswith("there are POST /predict, GET /schema, ")
    assert errors(client.request("OPTIONS", "/predict"), 405)
    assert client.request("HEAD", "/predict").status_code == 405


def test_too_much_is_a_413(client: Client) -> None:
    (problem,) = errors(client.post("/predict", content=b"[" + b"{}," * 10_000 + b"{}]"), 413)
    assert (problem["what"], problem["fix"]) == ("10,001 rows in one request", "send at most 10,000")
    (problem,) = errors(client.post("/predict", content=b" " * 32_000_001), 413)
    assert problem["what"] == "the request has more than 32 MB"


def test_our_own_failure_is_a_500_without_details(binary: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(binary.store, binary.manifest, binary.name)

    def fail(*_: Any) -> None:
        raise RuntimeError("secret path /srv/x")

    monkeypatch.setattr(native, "_rows_of", fail)
    (problem,) = errors(Client(app).post("/predict", json=ROW), 500)
    assert problem["what"] == "the release could not answer" and "secret" not in str(problem)


class FullLog:
    """A log whose disk takes nothing."""

    def append(self, entries: Any, done: Any) -> None:
        raise StoreError("can't write", where="/srv/secret", why="the disk is full", fix="free /srv")

    def close(self) -> None: ...


def test_a_full_disk_is_told_without_its_place(binary: Release, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(make_app(binary.store, binary.manifest, binary.name, log=FullLog()))
    responses = [client.post("/predict", json=ROW) for _ in range(10)]
    for response in responses:
        (problem,) = errors(response, 503)
        assert (problem["what"], problem["where"], problem["why"]) == ("can't write", "", "")
        assert "/srv" not in response.text and response.headers["retry-after"] == "1"
    told = [r for r in caplog.records if "/srv/secret: can't write" in r.getMessage()]
    assert 0 < len(told) < 10, "the server's log has it, though not with every request"


def test_a_column_called_rows_is_a_column(binary: Release) -> None:
    value = {"rows": [ROW]}
    assert native._rows_of(value, ("rows",)) == ([value], False)
    serving = replace(binary.serving, unused=())
    assert "note" not in serving.event_types()
