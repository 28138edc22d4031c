"""OpenTelemetry traces, where the environment asks for them; where it does not, nothing here is on any path.

A request is a span named by its endpoint, a child of the caller's (W3C `traceparent`). Below it: `decode`
(rows read by the release's schema), `lookup` (what the server fills in), `model` (the graph), `log` (until
the entry is as safe as the log's mode says). Requests that are answered by one call of the graph share the
span `model`: it is below the first of them, and has the number of rows.

Of an error a span has the type alone: its message and stack may hold what a caller sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from headrace._version import __version__
from headrace.core.answered import Answered
from headrace.core.errors import MissingDependency, UserError
from headrace.core.ports import Log
from headrace.serve.answer import Answerer, Feeds
from headrace.serve.http.endpoint import Call, Endpoint, Handler, Reply
from headrace.serve.http.problems import refusal
from headrace.serve.online import Notes

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS = ("otlp", "console", "none")


class Tracing:
    """Makes spans. `close` sends what is waiting."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._propagator = TraceContextTextMapPropagator()
        self.tracer = provider.get_tracer("headrace", __version__)

    def endpoints(self, there: Iterable[Endpoint]) -> list[Endpoint]:
        """Endpoints whose requests are spans."""
        return [replace(e, handler=self._spanned(e.handler, e)) for e in there]

    def answerer(self, *args: Any, **kwargs: Any) -> Answerer:
        """An answerer whose parts are spans; made as `Answerer` is."""
        return TracedAnswerer(self, *args, **kwargs)

    def log(self, log: Log) -> Log:
        """A log whose entries are spans."""
        return TracedLog(self, log)

    def close(self) -> None:
        """Send what is waiting, and no more."""
        self._provider.shutdown()

    def _spanned(self, handler: Handler, endpoint: Endpoint) -> Callable[[Call], Awaitable[Reply]]:
        from opentelemetry.trace import SpanKind

        async def spanned(call: Call) -> Reply:
            method = call.method
            with self.tracer.start_as_current_span(
                f"{method} {endpoint.path}",
                context=self._context(call.headers),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method, "http.route": endpoint.path},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    reply = handler(call)
                    if not isinstance(reply, Reply):
                        reply = await reply
                except Exception as error:  # whatever it is, the span has it; the shell answers
                    told = refusal(error)
                    span.set_attribute("http.response.status_code", 500 if told is None else told.status)
                    span.set_attribute("error.type", type(error).__name__)
                    raise
                span.set_attribute("http.response.status_code", reply.status)
                return reply

        return spanned

    def _context(self, headers: Mapping[bytes, bytes]) -> Context | None:
        """The caller's span; None: it has none."""
        if b"traceparent" not in headers:
            return None
        named = (b"traceparent", b"tracestate")
        return self._propagator.extract(
            {n.decode(): headers[n].decode("latin-1") for n in named if n in headers}
        )


class TracedAnswerer(Answerer):
    """An answerer whose parts are spans."""

    def __init__(self, tracing: Tracing, *args: Any, **kwargs: Any) -> None:
        from opentelemetry.trace import NoOpTracer

        super().__init__(*args, **kwargs)
        self._tracing = tracing
        self._tracer: Tracer = NoOpTracer()

    def warm(self) -> None:
        """See `Answerer.warm`; spans begin after it."""
        super().warm()
        self._tracer = self._tracing.tracer

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> Feeds:
        """See `Answerer.encode`."""
        with self._part("decode", {"rows": len(rows)}):
            return super().encode(rows)

    def complete(self, rows: Sequence[Mapping[str, Any]], feeds: Feeds) -> tuple[Feeds, Notes]:
        """See `Answerer.complete`."""
        with self._part("lookup", {"rows": len(rows)}):
            return super().complete(rows, feeds)

    def run(self, feeds: Feeds, rows: int) -> dict[str, NDArray[Any]]:
        """See `Answerer.run`."""
        with self._part("model", {"rows": rows, "headrace.release": self.release}):
            return super().run(feeds, rows)

    @contextmanager
    def _part(self, name: str, attributes: Mapping[str, Any]) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:  # whatever it is, the span has its type; who asked tells the rest
                span.set_attribute("error.type", type(error).__name__)
                raise


class TracedLog:
    """A log whose entries are spans."""

    def __init__(self, tracing: Tracing, log: Log) -> None:
        self._tracer, self._log = tracing.tracer, log

    def append(self, entries: Sequence[Answered], done: Callable[[Exception | None], None]) -> None:
        """See `core.ports.Log`."""
        span = self._tracer.start_span("log", attributes={"rows": len(entries)})

        def ended(error: Exception | None) -> None:
            if error is not None:
                span.set_attribute("error.type", type(error).__name__)
            span.end()
            done(error)

        try:
            self._log.append(entries, ended)
        except BaseException:
            span.end()
            raise

    def close(self) -> None:
        """See `core.ports.Log`."""
        self._log.close()


def tracing_of(environ: Mapping[str, str]) -> Tracing | None:
    """What the environment asks for by its OTEL_ variables; None: nothing.

    Asked for by OTEL_TRACES_EXPORTER (otlp, console) or an endpoint of OTLP (over HTTP, with protobuf); the
    rest of them (service's name, headers, sampler, batches) is as OpenTelemetry's SDK reads it.

    Raises:
        MissingDependency: the extra `tracing` is not installed.
        UserError: an exporter or protocol that is not supported.
    """
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or asked == "none"
    if off or not (asked or any(environ.get(n) for n in _ENDPOINTS)):
        return None
    exporter = asked or "otlp"
    if exporter not in _EXPORTERS:
        raise UserError(
            f"traces can't be exported to {exporter!r}",
            where="OTEL_TRACES_EXPORTER",
            fix=f"choose from: {', '.join(_EXPORTERS)}",
        )
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    name = next((n for n in names if environ.get(n)), "")
    if exporter == "otlp" and name and environ[name] != "http/protobuf":
        raise UserError(
            f"traces are not sent by {environ[name]!r}",
            where=name,
            fix="set it to http/protobuf, or leave it",
        )
    try:
        return Tracing(_provider(exporter))
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "traces are asked for by the environment, and OpenTelemetry is not installed",
            where=next(n for n in ("OTEL_TRACES_EXPORTER", *_ENDPOINTS) if environ.get(n)),
            why=str(error),
            fix="pip install 'headrace[tracing]', or unset the variable",
        ) from error


def _provider(exporter: str) -> TracerProvider:
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    made = Resource.create({SERVICE_VERSION: __version__})
    if str(made.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        made = made.merge(Resource({SERVICE_NAME: "headrace"}))
    provider = TracerProvider(resource=made)
    if exporter == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        return provider
    sender: SpanExporter = _otlp()
    provider.add_span_processor(BatchSpanProcessor(sender))
    return provider


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
