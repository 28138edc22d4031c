"""The Open Inference Protocol, version 2, over REST, with the binary tensor extension.

A model is the project, its versions are the releases that are loaded. Every column that a caller sends is an
input tensor of its name and of shape [rows] or [rows, 1]; each member of an answer comes back as an output
tensor. https://github.com/kserve/open-inference-protocol (inference_rest.md) and Triton's
extension_binary_data.md are what this follows. The shell adds the member `error` to what is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from headrace._version import __version__
from headrace.serve.desk.desk import Desk
from headrace.serve.http.asking import Reading, asked_of, python_json, rows_of
from headrace.serve.http.endpoint import JSON, KNOWN, Call, Endpoint, Handler, Refused, Reply, json_reply
from headrace.serve.http.health import Health
from headrace.serve.http.tensors import (
    BINARY,
    DATATYPES,
    chosen_of,
    columns_of,
    inputs_of,
    outputs_of,
    tensors_of,
)
from headrace.serve.live import Served

EXTENSIONS = ("binary_tensor_data",)
HEADER = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
_MODEL = "/v2/models/{name}"
_VERSION = "/v2/models/{name}/versions/{version}"
_TEXT, _OBJECT = {"type": "string"}, {"type": "object"}
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_SERVER = {
    "type": "object",
    "properties": {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
    "required": ["name", "version", "extensions"],
}
_LIVE = {"type": "object", "properties": {"live": {"type": "boolean"}}, "required": ["live"]}
_READY = {
    "type": "object",
    "properties": {"name": _TEXT, "ready": {"type": "boolean"}},
    "required": ["ready"],
}
_TENSORS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE, "parameters": _OBJECT, "data": {}},
        "required": ["name", "datatype", "shape"],
    },
}
_METADATA = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "versions": {"type": "array", "items": _TEXT},
        "platform": _TEXT,
        "inputs": _TENSORS,
        "outputs": _TENSORS,
    },
    "required": ["name", "platform", "inputs", "outputs"],
}
_REQUEST = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "parameters": _OBJECT,
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "datatype": {"enum": list(DATATYPES)},
                    "shape": {
                        "type": "array",
                        "items": {"type": "integer", "minimum": 0},
                        "minItems": 1,
                        "maxItems": 2,
                    },
                    "parameters": _OBJECT,
                    "data": {"type": "array"},
                },
                "required": ["name", "datatype", "shape"],
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _TEXT, "parameters": _OBJECT},
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_RESPONSE = {
    "type": "object",
    "properties": {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "outputs": _TENSORS},
    "required": ["model_name", "outputs"],
}
_INFER = {
    "description": "A tensor of shape [rows] or [rows, 1] for each column. Null is null in JSON and NaN "
    "among floats; `NAME.null`, of BOOL, says it of any column. Tensors may follow the JSON object as bytes.",
    "headers": {
        "Inference-Header-Content-Length": {
            "description": "The length of the JSON object, where bytes follow it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        }
    },
    "body": {"application/json": _REQUEST},
    "answers": {
        "200": {"application/json": _RESPONSE, "application/octet-stream": {"type": "string"}},
    },
}


def v2(desk: Desk, health: Health) -> list[Endpoint]:
    """The endpoints."""
    reading = Reading()

    def server(_: Call) -> Reply:
        return json_reply({"name": "headrace", "version": __version__, "extensions": list(EXTENSIONS)})

    def live(_: Call) -> Reply:
        return json_reply({"live": True})

    def ready(_: Call) -> Reply:
        is_ready = not health.missing()
        return json_reply({"ready": is_ready}, 200 if is_ready else 503)

    def model_ready(call: Call) -> Reply:
        served = _served(desk, call)
        told = {"name": served.manifest.project, "ready": not health.missing()}
        return json_reply(told, 200 if told["ready"] else 503)

    def model(call: Call) -> Reply:
        served = _served(desk, call)
        return json_reply(
            {
                "name": served.manifest.project,
                "versions": list(desk.live.scene.served),
                "platform": "onnx_onnxv1",
                "inputs": inputs_of(served.answerer.types),
                "outputs": outputs_of(served.manifest.serving),
            }
        )

    async def infer(call: Call) -> Reply:
        served = _served(desk, call)
        request, wanted, parameters, (columns, rows) = await reading.read(call.body, partial(_read, call))
        asked = asked_of(
            desk,
            call,
            rows,
            route=parameters.get("route", ""),
            release=call.path.get("version", ""),
            explain=parameters.get("explain", False),
        )
        binary = parameters.get("binary_data_output") is True
        # Before anybody is asked: an answer that nobody gets is no answer.
        chosen = chosen_of(served.manifest.serving, wanted, binary=binary)
        answers = await desk.answer(rows_of(columns, rows), asked)
        tensors, blobs = tensors_of(chosen, answers)
        head: dict[str, Any] = {"model_name": served.manifest.project}
        releases = {a["release"] for a in answers} or {served.release}
        if len(releases) == 1 and (release := releases.pop()):
            head["model_version"] = release
        if "id" in request:
            head["id"] = request["id"]
        return _joined(head | {"outputs": tensors}, blobs)

    get, post = "GET", "POST"
    there: list[tuple[str, str, Handler, str, str]] = [
        (get, "/v2", server, "Open Inference Protocol: the server and its extensions", ""),
        (get, "/v2/health/live", live, "Open Inference Protocol: whether the process answers", ""),
        (get, "/v2/health/ready", ready, "Open Inference Protocol: whether it can take traffic", ""),
        (get, _MODEL, model, "Open Inference Protocol: the inputs and outputs of the champion", KNOWN),
        (get, _VERSION, model, "Open Inference Protocol: the inputs and outputs of a release", KNOWN),
        (get, f"{_MODEL}/ready", model_ready, "Open Inference Protocol: whether the model answers", ""),
        (get, f"{_VERSION}/ready", model_ready, "Open Inference Protocol: whether a release answers", ""),
        (post, f"{_MODEL}/infer", infer, "Open Inference Protocol: predictions for tensors", "caller"),
        (post, f"{_VERSION}/infer", infer, "Open Inference Protocol: predictions of one release", "operator"),
    ]
    docs: dict[Handler, dict[str, Any]] = {
        server: {"answers": {"200": _SERVER}},
        live: {"answers": {"200": _LIVE}},
        ready: {"answers": {"200": _READY}},
        model: {"answers": {"200": _METADATA}},
        model_ready: {"answers": {"200": _READY}},
        infer: _INFER,
    }
    return [Endpoint(m, path, h, about, role, doc=docs[h]) for m, path, h, about, role in there]


def _served(desk: Desk, call: Call) -> Served:
    """The release that the path names.

    Raises:
        Refused: 404, there is none of that name or version.
    """
    scene = desk.live.scene
    there = scene.served[scene.champion]
    if call.path["name"] != there.manifest.project:
        raise Refused(404, "there is no such model", where="name", fix=f"there is {there.manifest.project}")
    version = call.path.get("version", scene.champion)
    if version not in scene.served:
        fix = f"there are {', '.join(scene.served)}"
        raise Refused(404, "there is no such version", where="version", fix=fix)
    return scene.served[version]


def _read(
    call: Call,
) -> tuple[dict[str, Any], list[Any] | None, Mapping[str, Any], tuple[dict[str, list[Any]], int]]:
    """The request object, wanted outputs and parameters, and the columns with how many rows they have."""
    request, tail = _split(call)
    inputs, wanted, parameters = _parts(request)
    return request, wanted, parameters, columns_of(inputs, tail)


def _split(call: Call) -> tuple[dict[str, Any], bytes]:
    """The request object, and the bytes after it."""
    length = call.headers.get(HEADER)
    tail = b""
    if length is not None:
        if not length.isdigit() or len(length) > 18 or int(length) > len(call.body):
            raise Refused(
                400,
                f"it is no number of bytes of the body, which has {len(call.body):,}",
                where="Inference-Header-Content-Length",
                fix="send the length of the JSON object that stands before the tensors",
            )
        tail = call.body[int(length) :]
        call = replace(call, body=call.body[: int(length)])
    request = python_json(call)
    if not isinstance(request, dict):
        raise Refused(422, "an inference request is an object", fix='send {"inputs": [...]}')
    return request, tail


def _parts(request: Mapping[str, Any]) -> tuple[list[Any], list[Any] | None, Mapping[str, Any]]:
    """Inputs, wanted outputs (None: all of them) and parameters."""
    inputs, wanted = request.get("inputs"), request.get("outputs")
    parameters = request.get("parameters", {})
    if not isinstance(inputs, list):
        raise Refused(422, "`inputs` has to be a list of tensors", where="inputs")
    if wanted is not None and not isinstance(wanted, list):
        raise Refused(422, "`outputs` has to be a list of {name}", where="outputs")
    if not isinstance(parameters, dict):
        raise Refused(422, "`parameters` has to be an object", where="parameters")
    if not isinstance(request.get("id", ""), str):
        raise Refused(422, "`id` has to be a string", where="id")
    return inputs, wanted or None, parameters


def _joined(head: Mapping[str, Any], blobs: Sequence[bytes]) -> Reply:
    text = msgspec.json.encode(head)
    if not any(BINARY in t.get("parameters", {}) for t in head["outputs"]):
        return Reply(text, media=JSON)
    told = ((b"inference-header-content-length", b"%d" % len(text)),)
    return Reply(b"".join((text, *blobs)), media=OCTETS, headers=told)
