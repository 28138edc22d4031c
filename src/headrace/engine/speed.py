"""Whether a release is as fast as the spec wants: real rows through the code that will serve, before it is
promoted. Without targets it is measured, too, so that who deploys knows how much one core answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from headrace.core.clock import micros
from headrace.core.codec import to_plain
from headrace.core.errors import DataError, HeadraceError, StoreError
from headrace.core.evidence import Evidence, Rule
from headrace.core.places import LOG, STORE_DIR
from headrace.core.spec import Spec
from headrace.engine.columns import evenly
from headrace.engine.context import Context, Made
from headrace.engine.requests import as_requests
from headrace.engine.serve_plan import plain_plan, serve_plan
from headrace.engine.stages.features import rows_of
from headrace.graph.rows import RowEncoder
from headrace.logs.read import Wanted, read
from headrace.release.manifest import Serving
from headrace.release.plan import Plan, Speed

P50, P99, THROUGHPUT = "speed: p50", "speed: p99", "speed: throughput"
ROWS = 300
"""So many rows, evenly spaced, are sent: of the last hour's requests, else of validation."""
LEAST = 100
"""Requests of the last hour, at least, that say what traffic is like."""
_LOOKED_AT = 20_000
BATCH = 1000
"""Rows of a request where the mode is batch."""
LOAD = 0.7
"""How much of what a server can do is planned for: above, answers queue."""


class Timed(Protocol):
    """Times a release through the code that will serve it (`serve.timing.time_release`)."""

    def __call__(
        self,
        serving: Serving,
        plan: Plan,
        rows: Sequence[Mapping[str, Any]],
        *,
        together: int,
        requests: int,
        seconds: float,
    ) -> Speed: ...


def targets(spec: Spec) -> dict[str, Rule]:
    """The rule for each target that the spec states, by judged name: microseconds as ms, answers a second."""
    plan = plain_plan(spec)
    found = {}
    if plan.p50_us is not None:
        found[P50] = Rule("<=", plan.p50_us / 1e3)
    if plan.p99_us is not None:
        found[P99] = Rule("<=", plan.p99_us / 1e3)
    if plan.throughput is not None:
        found[THROUGHPUT] = Rule(">=", plan.throughput)
    return found


def speed(ctx: Context, made: Made, timed: Timed | None) -> tuple[Speed | None, list[Evidence]]:
    """Measure, and say how each stated target is met. timed: None: there is nothing that could be timed.

    Raises:
        UserError: a rule or fallback answers what is no class of the task.
    """
    wanted = targets(ctx.spec)
    if timed is None:
        why = "nothing that serves was handed over to be timed"
        return None, [Evidence(gate, None, why_none=why) for gate in wanted]
    planned = serve_plan(ctx, made)
    try:
        found = _measured(ctx, made, timed, *planned, quick=not wanted)
    except HeadraceError as error:
        why = f"rows can't be sent: {error.problems[0].what}"
        return None, [Evidence(gate, None, why_none=why) for gate in wanted]
    return found, [_evidence(gate, found, plain_plan(ctx.spec)) for gate in wanted]


def replicas(plan: Plan, found: Speed) -> int:
    """Servers of one core that the throughput needs; as stated, or so that none is loaded beyond 70%."""
    if plan.replicas is not None:
        return plan.replicas
    return max(1, math.ceil((plan.throughput or 0.0) / (LOAD * found.capacity)))


def _measured(ctx: Context, made: Made, timed: Timed, plan: Plan, serving: Serving, *, quick: bool) -> Speed:
    # What was hashed or masked is kept in no other form: it is sent as it is kept, and not treated again.
    serving = dataclasses.replace(serving, treated={}, pii_key="")
    ctx.tell("promote")("timing answers", 0, 0)
    sent = list(serving.event_types())
    recorded = _recorded(ctx, serving)
    requests = recorded or _generated(ctx, made, sent)
    batch = ctx.spec.serve is not None and ctx.spec.serve.mode == "batch"
    together = BATCH if batch else 1
    most, seconds = (100, 0.3) if quick else (300, 2.0)
    found = timed(serving, plan, requests, together=together, requests=most, seconds=seconds)
    return dataclasses.replace(found, sent="recorded" if recorded else "validation")


def _recorded(ctx: Context, serving: Serving) -> list[Mapping[str, Any]]:
    """What callers sent within the last hour, from the log; nothing where it holds too few rows that fit the
    release: that have all of its columns, with values of their types."""
    types = serving.event_types()
    encoder = RowEncoder(types, zone=serving.zone)

    def fits(row: Mapping[str, Any]) -> bool:
        try:
            encoder.encode([row])
        except DataError:
            return False
        return True

    sent = list(types)
    hour = micros(ctx.clock()) - 3_600_000_000
    try:
        told = islice(read(ctx.root / STORE_DIR / LOG, Wanted(start=hour)), _LOOKED_AT)
        whole = [{n: e.inputs[n] for n in sent} for e in told if types.keys() <= e.inputs.keys()]
    except StoreError:
        return []
    fitting = [row for row in whole if fits(row)]
    return [fitting[i] for i in evenly(len(fitting), ROWS).tolist()] if len(fitting) >= LEAST else []


def _generated(ctx: Context, made: Made, sent: Sequence[str]) -> list[Mapping[str, Any]]:
    """Validation rows as a caller would send them."""
    every = rows_of(ctx, made, "validation")
    rows = every.only(evenly(every.count, ROWS))
    table = pa.Table.from_batches([b.select(list(sent)) for b in rows.batches(list(sent))])
    plain: list[Mapping[str, Any]] = msgspec.json.decode(msgspec.json.encode(as_requests(table)))
    return plain


def _evidence(gate: str, found: Speed, plan: Plan) -> Evidence:
    told = to_plain(found)
    if gate == THROUGHPUT:
        count = replicas(plan, found)
        return Evidence(
            gate,
            count * found.capacity,
            unit="answers a second",
            n=found.requests,
            where=f"{found.capacity:,.0f} a core here, and {count} of them",
            details={**told, "replicas": count},
        )
    value = found.p50_us if gate == P50 else found.p99_us
    return Evidence(gate, value / 1e3, unit="ms", n=found.requests, details=told)
