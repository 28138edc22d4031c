"""Proposals put to the training rows: which are kept, and whether a choice still holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from headrace.core.digest import digest
from headrace.core.errors import NotFound
from headrace.core.spec.features import FeatureSpec
from headrace.core.views import RunView
from headrace.engine.context import Context, Made
from headrace.engine.naming import tables_of
from headrace.engine.pins import output_of
from headrace.engine.proposal_columns import compute, joined
from headrace.engine.stages.ingest import snapshots_of
from headrace.engine.training_rows import Training
from headrace.learn.folds import Fold
from headrace.learn.select.blocks import Block
from headrace.learn.select.forward import Rules, Selection, Verdict, select


def asked(ctx: Context) -> str:
    """The digest of what proposals answer to: target, time, split and cleaning."""
    spec = ctx.spec
    return digest(
        spec.model_dump(
            mode="json",
            include={
                "problem": {"task", "target", "positive"},
                "data": {"events", "time", "lead", "zone"},
                "split": True,
                "clean": True,
                "seed": True,
            },
        )
    )


def data_digest(made: Made) -> str:
    """The digest of the tables' contents."""
    return digest({n: t.content for n, t in tables_of(snapshots_of(made)).items()})


def stale(ctx: Context, run: RunView) -> str:
    """What has changed since the lock of this run's spec was made; empty where nothing has, or where the run
    read no table."""
    lock = ctx.parsed.lock
    if lock is None:
        return ""
    if lock.lock.made.asked != asked(ctx):
        return "was made for another target, time, split or cleaning"
    try:
        made = {"ingest": output_of(ctx.store, run, "ingest")}
    except NotFound:
        return ""
    return "" if lock.lock.made.data == data_digest(made) else "was made of other data"


COMPUTING = 0.6
"""The share of the budget that computing proposals may take."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, on how many rows, and what could not be computed, by name with the reason."""

    selection: Selection
    refused: Mapping[str, str]
    rows: int
    folds: int


def choose(
    training: Training,
    base: Mapping[str, FeatureSpec],
    proposals: Mapping[str, FeatureSpec],
    rules: Rules,
    *,
    groups: Mapping[str, str],
    left: Callable[[], float],
) -> Choice:
    """Keep of the proposals what helps beside the base. `groups` are those of proposals that are kept
    together or not at all, by name. `left` says how many seconds there are still: computing takes at most
    `COMPUTING` of them, so that there is time to try what was computed; of the rest the first come first."""
    field, tell = training.field(), training.ctx.tell("features")
    tell("computing proposals", 0, len(proposals))
    end = (1 - COMPUTING) * left()
    found = compute(
        training,
        {**base, **proposals},
        tuple(field.folds),
        training.chosen,
        spare=lambda name: name not in proposals or left() >= end,
    )
    computed = [found.blocks[n] for n in proposals if n in found.blocks]
    blocks, members = _grouped(computed, groups, field.folds)
    beside = [b for n, b in found.blocks.items() if n not in proposals]
    selection = select(beside, blocks, field, rules, left=left, progress=tell)
    each = [replace(v, name=n) for v in selection.verdicts for n in members[v.name]]
    each += [Verdict(n, kept=False, why="not tried: there was no time to compute it") for n in found.late]
    selection = replace(selection, verdicts=tuple(each))
    return Choice(selection, found.refused, len(field.y), len(field.folds))


def _grouped(
    blocks: list[Block], groups: Mapping[str, str], folds: Sequence[Fold]
) -> tuple[list[Block], dict[str, tuple[str, ...]]]:
    """One block for each group, and the names of its members."""
    made: dict[str, list[Block]] = {}
    for block in blocks:
        made.setdefault(groups.get(block.name) or block.name, []).append(block)
    grouped = [of[0] if len(of) == 1 else joined(name, of, folds) for name, of in made.items()]
    return grouped, {b.name: tuple(m.name for m in made[n]) for b, n in zip(grouped, made, strict=True)}
