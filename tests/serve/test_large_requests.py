"""Requests that are worked at in slices: the same answers, entries and refusals as others."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from asgi_client import Client, answered
from desk_world import Kept
from serve_releases import Release, requests

from headrace.serve.answer import Answerer
from headrace.serve.desk.entries import SLICE
from headrace.serve.http.app import make_app
from headrace.serve.http.asking import LARGE


def test_slices_are_seams_that_nobody_sees(binary: Release) -> None:
    log = Kept()
    client = Client(make_app(binary.store, binary.manifest, binary.name, log=log))
    rows = requests(40) * (1 + 10 * SLICE // 80)
    assert len(json.dumps(rows)) > LARGE and len(rows) % SLICE
    expected = Answerer(binary.store, binary.serving, binary.name).answer(rows)
    for body in (rows, {"rows": rows}):
        log.entries.clear()
        response = client.post("/predict", json=body)
        assert answered(response) == expected
        told = response.json()["predictions"]
        assert [e.id for e in log.entries] == [t["id"] for t in told]
        assert len({e.id for e in log.entries}) == len(rows)
        assert [dict(e.inputs) for e in log.entries] == rows
        assert [e.answer["prediction"] for e in log.entries] == [t["prediction"] for t in told]


def test_what_is_wrong_in_a_large_request_is_told_as_in_a_small_one(binary: Release) -> None:
    client = Client(make_app(binary.store, binary.manifest, binary.name))
    rows = requests(40) * 100
    whole = json.dumps(rows)
    for broken in (whole[:-1], whole.replace("{", "[", 1), '{"rows": ' + whole):
        response = client.post("/predict", content=broken)
        assert response.status_code == 400 and "the body is no JSON" in response.json()["detail"]
    rows[3210] = {**rows[3210], "distance": "far"}
    (error,) = client.post("/predict", json=rows).json()["errors"]
    assert error["where"] == "rows[3210].distance"
    assert client.post("/predict", json={"rows": "x" * LARGE}).status_code == 422
    assert client.post("/predict", content=b"[%b{}]" % (b"{}," * LARGE)).status_code == 413
    assert client.post("/predict", content=b" " * LARGE).status_code == 400


ROWS = 60_000
LARGE_BODIES = {
    "/invocations": [
        (b'{"inputs": [' + b'{"distance": NaN},' * ROWS + b"{}]}", "application/json", 413),
        (b"distance," + b"x" * 100 + b"\n" + (b"a" * 600 + b"\n") * 9_000, "text/csv", 422),
    ],
    "/v2/models/flights/infer": [
        (
            b'{"inputs": [{"name": "distance", "datatype": "FP64", "shape": [%d], "data": [%b1]}]}'
            % (20 * ROWS, b"1," * (20 * ROWS - 1)),
            "application/json",
            413,
        ),
    ],
}


@pytest.mark.parametrize(
    ("path", "body", "media", "status"), [(path, *one) for path, sent in LARGE_BODIES.items() for one in sent]
)
def test_others_have_their_turn_while_a_large_body_is_read(
    binary: Release, path: str, body: bytes, media: str, status: int
) -> None:
    app = make_app(binary.store, binary.manifest, binary.name)

    async def asked() -> tuple[int, int]:
        turns, done = 0, False

        async def other() -> None:
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://test"
        ) as client:
            response = await client.post(path, content=body, headers={"Content-Type": media})
        done = True
        await beside
        return response.status_code, turns

    answer, turns = asyncio.run(asked())
    assert answer == status
    assert turns > 100  # in one go there is none
