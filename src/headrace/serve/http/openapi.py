"""GET /openapi.json: an OpenAPI 3.1 document of all endpoints, with the champion's rows and answers.

What the policy refuses is a constraint; what it only flags (a number outside of what training held) is told
in words and examples. https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from headrace._version import __version__
from headrace.core.spelled import spelled
from headrace.core.task import Kind, labels
from headrace.release.manifest import Manifest
from headrace.serve.describe import describe
from headrace.serve.desk.desk import Desk
from headrace.serve.http.asking import champion
from headrace.serve.http.endpoint import KNOWN, Call, Endpoint, Reply

Plain = dict[str, Any]
_REFUSALS = {
    "GET": (401, 403, 404, 422, 429, 503),
    "POST": (400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
}
_PROTOCOLS = {
    "/v2": "Open Inference Protocol",
    "/invocations": "MLflow",
    "/ping": "MLflow",
    "/version": "MLflow",
}
_OBJECT = {"type": "object"}
_WORD = re.compile(r"[^A-Za-z0-9]+")


def openapi(desk: Desk, there: Callable[[], Iterable[Endpoint]]) -> Endpoint:
    """The endpoint."""
    made: dict[str, bytes] = {}

    def show(_: Call) -> Reply:
        served = champion(desk)
        if served.release not in made:
            made.clear()
            made[served.release] = msgspec.json.encode(document(served.manifest, served.release, there()))
        return Reply(made[served.release])

    return Endpoint(
        "GET",
        "/openapi.json",
        show,
        "this, as an OpenAPI document",
        role=KNOWN,
        doc={"answers": {"200": _OBJECT}},
    )


def document(manifest: Manifest, release: str, endpoints: Iterable[Endpoint]) -> Plain:
    """The OpenAPI document of a release behind these endpoints."""
    paths: dict[str, Plain] = {}
    for endpoint in endpoints:
        if not endpoint.hidden:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(
                endpoint, manifest, release
            )
    return {
        "openapi": "3.1.1",
        "info": {
            "title": manifest.project,
            "version": release,
            "description": f"Predictions of {manifest.target}. Errors are problem details (RFC 9457) that "
            f"name the field. Served by headrace {__version__}.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas(manifest, release),
            "responses": {"Problem": _problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def schemas(manifest: Manifest, release: str) -> Plain:
    """The schemas of rows, answers and problems."""
    told = describe(manifest, release)
    row = row_schema(manifest, told)
    rows = {"type": "array", "items": _ref("Row"), "maxItems": manifest.plan.rows}
    explain = {
        "type": ["boolean", "integer", "null"],
        "minimum": 0,
        "maximum": 999_999_999,
        "description": "How many contributions each answer names.",
    }
    return {
        "Row": row,
        "RowList": rows,
        "Rows": {
            "type": "object",
            "properties": {"rows": _ref("RowList")}
            | ({"explain": explain} if manifest.serving.reference else {}),
            "required": ["rows"],
            "additionalProperties": False,
        },
        "Answer": answer_schema(manifest),
        "Answers": {
            "type": "object",
            "properties": {"predictions": {"type": "array", "items": _ref("Answer")}},
            "required": ["predictions"],
        },
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer", "minimum": 400, "maximum": 599},
                "detail": {"type": "string"},
                "errors": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {
                            "what": {"type": "string", "description": "What is wrong."},
                            "where": {"type": "string", "description": "The field, such as rows[3].age."},
                            "why": {"type": "string"},
                            "fix": {"type": "string", "description": "How to mend it."},
                        },
                        "required": ["what", "where", "why", "fix"],
                    },
                },
            },
            "required": ["type", "title", "status", "detail", "errors"],
        },
    }


def row_schema(manifest: Manifest, told: Mapping[str, Any]) -> Plain:
    """What a row is. `told`: what `describe` says."""
    policy = manifest.plan.inputs
    properties: dict[str, Plain] = {}
    for column in told["fields"]:
        properties[column["name"]] = _column(column, policy.range == "reject", policy.unseen == "reject")
    for name in told["ignored"]:
        properties[name] = {"description": "Taken, and read by nothing."}
    schema: Plain = {
        "type": "object",
        "properties": properties,
        "examples": [example(told)],
    }
    if policy.missing == "reject":
        schema["required"] = [c["name"] for c in told["fields"]]
    if policy.unknown == "reject":
        schema["additionalProperties"] = False
    return schema


def example(told: Mapping[str, Any]) -> Plain:
    """A row from the middle of what training held."""
    return {c["name"]: _example(c) for c in told["fields"]}


def answer_schema(manifest: Manifest) -> Plain:
    """What an answer is."""
    serving = manifest.serving
    classes = list(labels(serving.task))
    number = {"type": ["number", "null"]}
    of_class = {"enum": [*classes, None]} if classes else number
    share = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    members: Plain = {
        "id": {"type": "string", "description": "Of the prediction: labels are joined by it."},
        "prediction": {**of_class, "description": f"{manifest.target}; null: none is given."},
    }
    if serving.task.kind is Kind.MULTICLASS:
        names = {spelled(c): {"type": "number", "minimum": 0, "maximum": 1} for c in classes}
        members["probability"] = {"type": ["object", "null"], "properties": names}
    elif classes:
        members["probability"] = {**share, "description": f"Of {spelled(classes[1])}."}
    sure = serving.sureness
    if sure is not None and not classes:
        held = f"{sure.level:.0%} of new rows are to lie in the interval; null: unbounded, or not known."
        members |= {end: {**number, "description": held} for end in ("lower", "upper")}
    elif sure is not None:
        held = f"Classes that can't be ruled out: {sure.level:.0%} of new rows are to be among them."
        members["set"] = {"type": "array", "items": {"enum": classes}, "description": held}
        if sure.abstain:
            members["abstain"] = {"type": "boolean", "description": "Too unsure to predict."}
    members |= {
        "release": {"type": ["string", "null"], "description": "That answered; null: none did."},
        "route": {"type": "string"},
        "arm": {"type": "string", "description": "champion, canary, treatment; asked: the caller named it."},
        "by": {"type": "string", "description": "model, `rule: NAME`, or `fallback: WHAT (WHY)`."},
        "fallback": {
            "type": "boolean",
            "description": "Whether something else than the arm's release answered.",
        },
        "flags": {"type": "array", "items": {"type": "string"}, "description": "What was odd about the row."},
        "review": {"type": "boolean", "description": "Whether a person will look."},
    }
    if manifest.plan.after.rules:
        members["overruled"] = {
            **of_class,
            "description": "What the model said, where a rule said otherwise.",
        }
    if serving.lookups or serving.histories:
        members["features"] = {"type": "object", "description": "What could not be looked up."}
    if serving.reference:
        members["why"] = {"type": "object", "description": "Where `explain` asks for it."}
    return {"type": "object", "properties": members, "required": ["id", "prediction", "release", "arm", "by"]}


def _operation(endpoint: Endpoint, manifest: Manifest, release: str) -> Plain:
    doc = endpoint.doc
    there: Plain = {"name": {"enum": [manifest.project]}, "version": {"examples": [release]}}
    protocol = next((p for start, p in _PROTOCOLS.items() if endpoint.path.startswith(start)), "headrace")
    role = ""
    if endpoint.role:
        who = "any token" if endpoint.role == KNOWN else f"the role {endpoint.role}"
        role = f" For {who}, where tokens are asked for."
    operation: Plain = {
        "operationId": _WORD.sub("_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "tags": [protocol],
        "summary": endpoint.about,
        "description": f"{doc.get('description', '')}{role}".strip(),
    }
    parameters = [
        {
            "name": n,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1} | there.get(n, {}),
        }
        for n in re.findall(r"{(\w+)}", endpoint.path)
    ]
    parameters += [
        {"name": n, "in": "query", **p}
        for n, p in doc.get("query", {}).items()
        if n != "explain" or manifest.serving.reference
    ]
    parameters += [{"name": n, "in": "header", **p} for n, p in doc.get("headers", {}).items()]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.method == "POST":
        bodies = doc.get("body", {"application/json": {}})
        content = {media: {"schema": _whole(schema)} for media, schema in bodies.items()}
        operation["requestBody"] = {"required": not doc.get("optional", False), "content": content}
    operation["responses"] = {
        status: _response(status, answer) for status, answer in doc.get("answers", {"200": {}}).items()
    }
    refusals = (
        s for s in _REFUSALS.get(endpoint.method, _REFUSALS["POST"]) if endpoint.role or s not in (401, 403)
    )
    for status in refusals:
        operation["responses"].setdefault(str(status), {"$ref": "#/components/responses/Problem"})
    if endpoint.role:
        operation["security"] = [{"token": []}, {}]
    return operation


def _response(status: str, answer: Any) -> Plain:
    """A response: a schema of JSON, or `{media: schema}`."""
    contents = answer if any("/" in key for key in answer) else {"application/json": answer}
    return {
        "description": HTTPStatus(int(status)).phrase,
        "content": {media: {"schema": _whole(schema)} for media, schema in contents.items()},
    }


def _whole(schema: Any) -> Any:
    """A schema; a text is the name of one that the release has."""
    return _ref(schema) if isinstance(schema, str) else schema


def _ref(name: str) -> Plain:
    return {"$ref": f"#/components/schemas/{name}"}


def _problem() -> Plain:
    return {
        "description": "What is wrong, where, why, and how to mend it.",
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }


def _column(column: Mapping[str, Any], in_range: bool, seen: bool) -> Plain:
    kind = column["type"]
    schema: Plain = {"type": [_JSON[kind], "null"]}
    words = [column["description"]] if "description" in column else []
    low, high, categories = column.get("low"), column.get("high"), column.get("categories", [])
    if kind == "time":
        schema["format"] = "date-time"
        words.append("RFC 3339; without an offset it is local time of the data's zone.")
    if kind == "text":
        schema["pattern"] = "^[^\\u0000]*$"
    if low is not None and high is not None:
        words.append(f"Training rows held {low:g} to {high:g}." if kind == "number" else f"{low} to {high}.")
        if in_range and kind == "number":
            schema |= {"minimum": low, "maximum": high}
    if categories and seen and len(categories) < 200:
        schema["enum"] = [*categories, None]
    elif categories:
        words.append(
            f"Training rows held {', '.join(categories[:10])}{', …' if len(categories) > 10 else ''}."
        )
    if words:
        schema["description"] = " ".join(words)
    return {**schema, "examples": [_example(column)]}


_JSON = {"number": "number", "bool": "boolean", "text": "string", "time": "string"}


def _example(column: Mapping[str, Any]) -> Any:
    """A value that training may have held."""
    low, high = column.get("low"), column.get("high")
    if column["type"] == "number":
        middle = 1.0 if low is None or high is None else low + (high - low) / 2
        rounded = float(f"{middle:.3g}")
        value = rounded if low is None or high is None or low <= rounded <= high else middle
        return int(value) if value.is_integer() else value
    if column["type"] == "bool":
        return True
    if column["type"] == "time":
        return (high or "2026-01-31T12:00:00Z").replace(".000000Z", "Z")
    return (column.get("categories") or ["text"])[0]
