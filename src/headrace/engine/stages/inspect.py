"""Stage 5: what the training rows hold. Nothing behind it depends on it: it is for people and for gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.core.codec import to_json
from headrace.core.evidence import Rule
from headrace.engine.context import Context, Made, Output, Stage
from headrace.engine.lint import evidence_of, lines_of, lint_run, rules_of
from headrace.engine.profiles import profile_run
from headrace.engine.side_by_side import side_by_side


def _slice(ctx: Context) -> Any:
    data, problem = ctx.spec.data, ctx.spec.problem
    return {
        "tables": {n: [t.key, t.time, t.known_at] for n, t in data.tables.items()},
        "events": [data.events, data.id, data.time, ctx.zone],
        "target": [problem.task, problem.target, problem.positive],
        "judged": [problem.metric, ctx.spec.split.by, ctx.spec.split.group, data.lead],
        "allow": dict(ctx.spec.inspect.allow),
    }


def _work(ctx: Context, made: Made) -> Output:
    # Each look at the rows is a function of (ctx, made) in a room of its own, and adds its role here.
    threads = ctx.spec.limits.threads
    profile, findings = side_by_side(threads, lambda: profile_run(ctx, made), lambda: lint_run(ctx, made))
    return Output(
        outputs={
            "profile": ctx.store.put(to_json(profile)).digest,
            "findings": ctx.store.put(to_json(findings)).digest,
        },
        facts={"findings": lines_of(findings)},
        evidence=tuple(evidence_of(findings)),
    )


def rules(ctx: Context, made: Made) -> Mapping[str, Rule]:
    """No finding of the linter blocks; a profile never does."""
    del ctx
    return rules_of(made)


STAGE = Stage(
    "inspect",
    ("ingest", "split", "features"),
    _slice,
    _work,
    code=lambda _: (__name__,),
    libraries=("numpy", "pyarrow"),
)
