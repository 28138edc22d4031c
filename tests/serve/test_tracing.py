"""Traces, as a collector of OTLP gets them from a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from serve_releases import Release, published, requests
from served import served
from test_answer import ROW

from headrace.core.clock import system_clock
from headrace.core.errors import DataError, UserError
from headrace.serve.http.tracing import Tracing, tracing_of
from headrace.serve.live import load

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes what is sent to /v1/traces."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.service = ""
        outer = self

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                sent = ExportTraceServiceRequest()
                sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
                for part in sent.resource_spans:
                    outer.service = next(
                        a.value.string_value for a in part.resource.attributes if a.key == "service.name"
                    )
                    outer.spans += [s for scope in part.scope_spans for s in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_a_request_and_its_parts(binary: Release, tmp_path: Path, collector: Collector) -> None:
    environ = {
        **{name: "" for name in os.environ if name.startswith("OTEL_")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server.server_port}",
        "OTEL_SERVICE_NAME": "flights-server",
    }
    with served(published(binary, tmp_path), environ=environ) as server:
        header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert server.ask("POST", "/predict", ROW, header)[0] == 200
        assert server.ask("POST", "/predict", requests(40))[0] == 200
        assert server.ask("POST", "/predict", {})[0] == 422
        assert server.ask("GET", "/v2/models/other")[0] == 404
    assert server.complaints == []
    assert collector.service == "flights-server"
    roots = [s for s in collector.spans if s.name.startswith(("POST", "GET"))]
    assert [s.name for s in roots] == [*["POST /predict"] * 3, "GET /v2/models/{name}"]
    assert [attributes(s)["http.response.status_code"] for s in roots] == [200, 200, 422, 404]
    assert (roots[0].trace_id.hex(), roots[0].parent_span_id.hex()) == (TRACE, PARENT)
    for root, rows in ((roots[0], 1), (roots[1], 40)):
        below = {s.name: s for s in collector.spans if s.parent_span_id == root.span_id}
        assert set(below) == {"decode", "lookup", "model", "log"}
        assert all(attributes(s)["rows"] == rows for s in below.values())
        assert all(
            root.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano
            for s in below.values()
        )
    assert attributes(next(s for s in collector.spans if s.name == "model"))["headrace.release"] == "r7"
    assert not [s for s in collector.spans if not s.parent_span_id and s not in roots]


def test_of_an_error_spans_have_the_type_alone(binary: Release) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    answerer = load(
        binary.store, "r7", binary.manifest, system_clock, make=Tracing(provider).answerer
    ).answerer
    with pytest.raises(DataError, match="Ada Lovelace"):
        answerer.encode([{**ROW, "distance": "Ada Lovelace"}])
    with pytest.raises(AttributeError):
        answerer.complete([cast(Any, "Ada Lovelace")], {})
    feeds, _ = answerer.complete([ROW], answerer.encode([ROW]))
    with pytest.raises(DataError, match="distance"):
        answerer.run({**feeds, "distance": np.array(["Ada Lovelace"])}, 1)
    spans = exporter.get_finished_spans()
    told = [
        (s.name, s.attributes["error.type"]) for s in spans if s.attributes and "error.type" in s.attributes
    ]
    assert told == [("decode", "DataError"), ("lookup", "AttributeError"), ("model", "DataError")]
    assert "Ada Lovelace" not in "".join(s.to_json() for s in spans)
    assert not any(s.events or s.status.description for s in spans)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"},
        {"OTEL_SERVICE_NAME": "a"},
    ],
)
def test_without_being_asked_there_is_nothing(environ: dict[str, str]) -> None:
    assert tracing_of(environ) is None


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
    ],
)
def test_what_is_not_supported_is_said(environ: dict[str, str], where: str) -> None:
    with pytest.raises(UserError) as told:
        tracing_of(environ)
    assert told.value.problems[0].where == where


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
from headrace.core.errors import MissingDependency
from headrace.serve.http.app import make_app
from headrace.serve.http.tracing import tracing_of

assert tracing_of({}) is None
try:
    tracing_of({"OTEL_TRACES_EXPORTER": "otlp"})
except MissingDependency as error:
    print(error)
"""


def test_where_the_library_lacks_it_is_said() -> None:
    """And the server's modules do without."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert "OTEL_TRACES_EXPORTER: traces are asked for" in done.stdout
    assert "pip install 'headrace[tracing]'" in done.stdout
