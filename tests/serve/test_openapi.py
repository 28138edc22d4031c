"""The OpenAPI document, held to the specification's own schema and to what the server does; and the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from asgi_client import Client
from serve_releases import Release, requests
from test_answer import ROW

from headrace.release.plan import InputPolicy
from headrace.serve.http.app import make_app
from headrace.serve.http.openapi import document, schemas


def document_of(release: Release, **changed: Any) -> dict[str, Any]:
    manifest = replace(release.manifest, **changed)
    told: dict[str, Any] = Client(make_app(release.store, manifest, "r7")).get("/openapi.json").json()
    return told


def row_check(told: dict[str, Any], name: str = "Row") -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": told["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_it_is_an_openapi_document(kind: str, request: pytest.FixtureRequest) -> None:
    told = document_of(request.getfixturevalue(kind))
    schema = schemathesis.openapi.from_dict(told)
    schema.validate()
    assert schema.specification.version == "3.1.1"
    for part in told["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **part})
    ids = [o["operationId"] for path in told["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))


def test_every_endpoint_is_in_it(binary: Release) -> None:
    app = make_app(binary.store, binary.manifest, "r7")
    told = document_of(binary)
    for endpoint in app.endpoints:
        if endpoint.hidden:
            continue
        operation = told["paths"][endpoint.path][endpoint.method.lower()]
        assert operation["summary"] == endpoint.about
        assert ("security" in operation) is bool(endpoint.role)
        names = set(re.findall(r"{(\w+)}", endpoint.path))
        assert names <= {p["name"] for p in operation.get("parameters", [])}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_rows_and_answers_are_as_it_says(kind: str, request: pytest.FixtureRequest) -> None:
    release: Release = request.getfixturevalue(kind)
    client = Client(make_app(release.store, release.manifest, "r7"))
    told = client.get("/openapi.json").json()
    row, answer, problem = (row_check(told, name) for name in ("Row", "Answer", "Problem"))
    sent = [{**r, "dep": r["dep"] and r["dep"].replace(" ", "T") + "-04:00"} for r in requests(30)]
    for one in sent:
        row.validate(one)
    for one in client.post("/predict", json=sent).json()["predictions"]:
        answer.validate(one)
        assert set(one) <= set(told["components"]["schemas"]["Answer"]["properties"])
    (shown,) = told["components"]["schemas"]["Row"]["examples"]
    row.validate(shown)
    assert client.post("/predict", json=shown).status_code == 200
    assert client.post("/predict", json=shown).json()["flags"] == []
    problem.validate(client.post("/predict", json={}).json())


@pytest.mark.parametrize(
    ("changed", "fits"),
    [
        ({}, True),
        ({"distance": None, "carrier": None}, True),
        ({"note": 5}, True),
        ({"distance": "7"}, False),
        ({"night": "true"}, False),
        ({"carrier": 5}, False),
        ({"carrier": "a\x00"}, False),
        ({"nothing": 5}, False),
        ({"dep": 5}, False),
    ],
)
def test_the_row_schema_refuses_what_the_server_refuses(
    binary: Release, changed: dict[str, Any], fits: bool
) -> None:
    client = Client(make_app(binary.store, binary.manifest, "r7"))
    row = {**ROW, "dep": "2013-06-01T05:15:00-04:00", **changed}
    assert row_check(client.get("/openapi.json").json()).is_valid(row) is fits
    assert (client.post("/predict", json=row).status_code == 200) is fits


def test_policy_makes_constraints(binary: Release) -> None:
    def row(**policy: str) -> dict[str, Any]:
        plan = replace(binary.manifest.plan, inputs=InputPolicy(**policy))
        made: dict[str, Any] = schemas(replace(binary.manifest, plan=plan), "r7")["Row"]
        return made

    strict = row(range="reject", unseen="reject")
    assert (strict["properties"]["distance"]["minimum"], strict["properties"]["distance"]["maximum"]) == (
        0,
        2500,
    )
    assert strict["properties"]["carrier"]["enum"][0] == "AA"
    assert (
        strict["required"] == list(binary.serving.event_types()) and strict["additionalProperties"] is False
    )
    mild = row(missing="flag", unknown="flag")
    assert "minimum" not in mild["properties"]["distance"] and "enum" not in mild["properties"]["carrier"]
    assert "0 to 2500" in mild["properties"]["distance"]["description"]
    assert "required" not in mild and "additionalProperties" not in mild


def test_meanings_are_told(binary: Release) -> None:
    told = document(replace(binary.manifest, columns={"distance": "Miles between airports."}), "r7", [])
    assert told["components"]["schemas"]["Row"]["properties"]["distance"]["description"].startswith(
        "Miles between airports."
    )


def test_the_page_needs_nothing_from_elsewhere(binary: Release) -> None:
    manifest = replace(binary.manifest, project='a<b>"c', columns={"distance": "<script>alert(1)</script>"})
    client = Client(make_app(binary.store, manifest, "r7"))
    response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    text = response.text
    assert "<script>alert" not in text and "a&lt;b&gt;&quot;c" in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    for part in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert client.get(f"/{part}").status_code == 200, part
    for name in binary.serving.event_types():
        assert f'name="{name}"' in text
    assert "http" not in client.get("/docs/page.js").text


def test_the_page_sends_rows_that_are_answered(binary: Release) -> None:
    """The bodies that the page shows."""
    client = Client(make_app(binary.store, binary.manifest, "r7"))

    shown = [json.loads(unescape(t)) for t in re.findall(r"<pre>(\{.*?\})</pre>", client.get("/docs").text)]
    assert len(shown) == 2
    assert client.post("/v2/models/flights/infer", json=shown[0]).status_code == 200
    assert client.post("/invocations", json=shown[1]).status_code == 200
