"""What the spec says under `serve`, resolved for the manifest."""

from __future__ import annotations

from datetime import timedelta

from headrace.core.clock import parse_duration
from headrace.core.spec import Spec
from headrace.core.spec.scalars import parse_rate, parse_size
from headrace.core.spec.serve import Serve
from headrace.release.plan import CanaryPlan, InputPolicy, LogPlan, Plan

_MICRO = timedelta(microseconds=1)


def serve_plan(spec: Spec) -> Plan:
    """How a release of this spec wants to be served. Rules and fallbacks are added by who compiles them."""
    serve = spec.serve or Serve()
    log, canary = serve.log, serve.canary
    return Plan(
        unit=serve.unit,
        p50_us=_micros(serve.p50),
        p99_us=_micros(serve.p99),
        throughput=None if serve.throughput is None else parse_rate(serve.throughput),
        replicas=None if serve.replicas == "auto" else serve.replicas,
        deadline_us=_micros(serve.deadline) or 0,
        queue=serve.queue,
        rows=serve.rows,
        body=parse_size(serve.body),
        inputs=InputPolicy(**serve.inputs.model_dump()),
        log=LogPlan(
            log.mode, _micros(log.window) or 0, log.full, _micros(log.keep), log.subject, log.features
        ),
        canary=CanaryPlan(tuple(map(float, canary.ramp)), _micros(canary.bake) or 0, canary.guardrails),
    )


def _micros(text: str | None) -> int | None:
    return None if text is None else parse_duration(text) // _MICRO
