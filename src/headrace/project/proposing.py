"""Features proposed, chosen and written into the lock: what joins the draft, the engine and the file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace._version import __version__
from headrace.core.clock import parse_duration
from headrace.core.schema import Type
from headrace.core.spec import LOCK_NAME, ParsedLock
from headrace.core.spec.features import Auto, ExprFeature, FeatureSpec
from headrace.core.spec.lock import About, Lock, Made, Tried
from headrace.core.task import Kind
from headrace.core.views import RunView
from headrace.engine.context import Context
from headrace.engine.pins import output_of

if TYPE_CHECKING:
    from headrace.core.spec import Spec
    from headrace.draft.propose.propose import Proposals
    from headrace.engine.choosing import Choice
    from headrace.engine.training_rows import Training

MOST_TOGETHER = 200
"""Pairs that trees may name."""


def make_lock(ctx: Context, run: RunView, before: ParsedLock | None, budget: str | None) -> Lock:
    """Propose and choose on the training rows of a run that came to its split. Pinned features of the lock
    before stay as they are, and are part of what the others are chosen beside.

    The budget is processor time, of all threads together: what is kept should not depend on how busy the
    machine is with other things."""
    from headrace.engine.choosing import choose
    from headrace.engine.training_rows import training_of
    from headrace.learn.select.forward import LEARNER, Rules

    started = time.process_time()
    auto = ctx.spec.auto or Auto()
    budget = budget or auto.budget
    seconds = parse_duration(budget).total_seconds()
    made = {s: output_of(ctx.store, run, s) for s in ("frame", "ingest", "split")}
    training = training_of(ctx, made)
    proposals = _proposals(training)
    pinned = {n: f for n, f in before.lock.feature_specs().items() if n in before.lock.pin} if before else {}
    base = {**ctx.spec.feature_specs(), **{p.name: p.feature for p in proposals.plain}, **pinned}
    others = {p.name: p.feature for p in proposals.others if p.name not in base}
    choice = choose(
        training,
        base,
        others,
        Rules(auto.level, auto.most),
        groups={p.name: p.group for p in proposals.others},
        left=lambda: seconds - (time.process_time() - started),
    )
    return _lock(ctx, training, proposals, pinned, before, choice, budget, LEARNER)


def _proposals(training: Training) -> Proposals:
    from headrace.draft.propose.columns import look_into, see
    from headrace.draft.propose.propose import propose
    from headrace.draft.propose.quantities import like_quantities, measured
    from headrace.draft.propose.tables import pasts_of
    from headrace.engine.stages.ingest import snapshots_of
    from headrace.engine.training_rows import ANSWER_COLUMN, raw_table

    ctx, limits = training.ctx, training.ctx.spec.limits
    files = {n: (ctx.store.get(s.artifact), s) for n, s in snapshots_of(training.made).items()}
    with raw_table(training) as (file, columns, count):
        scratch = Path(f"{file}.look")
        with look_into(
            file, columns, count, memory=limits.memory, threads=limits.threads, scratch=scratch
        ) as look:
            seen = see(look, ctx.spec, training.task, ANSWER_COLUMN, training.named, training.target)
            pasts = pasts_of(look, seen.facts, training.columns, files, len(training.y))
            pairs = _pairs(training, [p.name for p in seen.facts.numbers()])
            like = measured(look, like_quantities(seen.facts, pairs))
        return propose(seen, ctx.spec, pairs, pasts, _averaged(ctx.spec, training), like)


def _averaged(spec: Spec, training: Training) -> str:
    """The target as an expression whose mean says something; empty for several classes, and for two that are
    no condition."""
    target = spec.problem.target
    if training.task.kind is Kind.REGRESSION:
        return target
    truth = training.task.classes == (False, True)
    return f"cast({target} as double)" if training.task.kind is Kind.BINARY and truth else ""


def _pairs(training: Training, columns: list[str]) -> list[tuple[str, str]]:
    """Quantities that trees split by together, on rows that nothing is tried on."""
    import numpy as np

    from headrace.draft.propose.record import written
    from headrace.engine.proposal_columns import compute
    from headrace.learn.select.together import pairs_together

    others = training.others
    specs: dict[str, FeatureSpec] = {
        f"c{i}": ExprFeature(expr=written(c))
        for i, c in enumerate(columns)
        if training.columns[c] is Type.NUMBER
    }
    if len(specs) < 2 or not len(others):
        return []
    found = compute(training, specs, [], others)
    blocks = [found.blocks[n] for n in specs if n in found.blocks]
    X = np.concatenate([b.whole for b in blocks if b.whole is not None], axis=1)
    pairs = pairs_together(
        X,
        training.y[others],
        tuple(f for b in blocks for f in b.features),
        training.task,
        seed=training.ctx.spec.seed,
        threads=training.ctx.spec.limits.threads,
        most=MOST_TOGETHER,
    )
    return [(columns[int(a[1:])], columns[int(b[1:])]) for a, b in pairs]


def _lock(
    ctx: Context,
    training: Training,
    proposals: Proposals,
    pinned: Mapping[str, FeatureSpec],
    before: ParsedLock | None,
    choice: Choice,
    budget: str,
    learner: str,
) -> Lock:
    from headrace.engine.choosing import asked, data_digest

    by_name = {p.name: p for p in (*proposals.plain, *proposals.others)}
    verdicts = {v.name: v for v in choice.selection.verdicts}
    kept = [p.name for p in proposals.plain if p.name not in pinned and p.name not in choice.refused]
    kept += list(choice.selection.kept)
    about = {
        n: About(
            form=by_name[n].form,
            source=by_name[n].source,
            risk=by_name[n].risk,
            measured=verdicts[n].gain if n in verdicts else None,
        )
        for n in kept
    }
    earlier = before.lock.about if before is not None else {}
    tried = {n: (v.why, v.gain) for n, v in verdicts.items() if not v.kept}
    tried |= {n: (f"it can't be computed here: {why}", None) for n, why in choice.refused.items()}
    auto = ctx.spec.auto
    return Lock(
        headrace_features=1,
        pin=tuple(pinned),
        features={**pinned, **{n: by_name[n].feature for n in kept}},
        about={**{n: earlier[n] for n in pinned if n in earlier}, **about},
        dropped={
            n: Tried(feature=by_name[n].feature, form=by_name[n].form, why=why, measured=gain)
            for n, (why, gain) in tried.items()
            if n in by_name
        },
        left_out=dict(proposals.left_out),
        made=Made(
            data=data_digest(training.made),
            asked=asked(ctx),
            seed=ctx.spec.seed,
            budget=budget,
            level=auto.level if auto else 0.0,
            learner=learner,
            loss="squared error" if training.task.kind is Kind.REGRESSION else "log loss",
            rows=choice.rows,
            folds=choice.folds,
            tried=len(proposals.others),
            ended=choice.selection.ended,
            headrace=__version__,
        ),
    )


def write_lock(root: Path, lock: Lock) -> str:
    """Write the lock beside the spec, whole or not at all; its text."""
    from headrace.draft.propose.write import lock_text

    text = lock_text(lock)
    half = root / f".{LOCK_NAME}.half"
    half.write_text(text, encoding="utf-8")
    half.replace(root / LOCK_NAME)
    return text
