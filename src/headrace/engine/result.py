"""What a run did: the trail while it goes, the result when it ends, the summary that is kept and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.core.codec import to_plain
from headrace.core.errors import HeadraceError, Problem
from headrace.core.evidence import Verdict
from headrace.core.html import table
from headrace.engine.advice import Advice
from headrace.engine.context import Output
from headrace.engine.memo import Ran
from headrace.release.plan import Speed


@dataclass
class Trail:
    """What has happened so far in a run; read out whole when it ends, however it ends. speed: of what it
    made, where that was measured."""

    stages: list[Ran] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    release: str = ""
    speed: Speed | None = None

    @property
    def made(self) -> dict[str, Output]:
        """The stages' outputs by name."""
        return {s.name: s.output for s in self.stages}

    def facts(self, stage: str) -> Mapping[str, Any]:
        """What a stage found; empty where it has not run."""
        return self.made.get(stage, Output()).facts


@dataclass(frozen=True)
class RunResult:
    """What a run did. `status` is released, blocked, no-go (today's solution is as good, within noise),
    awaiting approval, stopped, or failed. `advice` says what to do with what was found.

    `problems` say why it stopped, where it did; `exit_code` is what the command line exits with; `error`
    is what a failed run met; `tables` are the snapshots that it used, and how old they were.
    """

    run: str
    name: str
    status: str
    stages: tuple[Ran, ...]
    verdicts: tuple[Verdict, ...]
    release: str
    seconds: float
    exit_code: int
    problems: tuple[Problem, ...] = ()
    error: HeadraceError | None = None
    advice: Advice | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def worked(self) -> bool:
        """Whether any stage had to run."""
        return any(s.status == "ran" for s in self.stages)

    def plain(self) -> dict[str, Any]:
        """The object that `headrace run --json` prints and that `run.finished` keeps."""
        made = {s.name: s.output for s in self.stages}
        learned = made.get("learn", Output())
        test, frame = made.get("test", Output()).facts, made.get("frame", Output()).facts
        seconds = learned.notes.get("seconds", {})
        return {
            "run": self.run or None,
            "name": self.name,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "stages": [
                {"name": s.name, "status": s.status, "seconds": round(s.seconds, 3), "key": s.key}
                for s in self.stages
            ],
            "tables": dict(self.tables),
            "gates": [gate_line(v) for v in self.verdicts],
            "findings": list(made.get("inspect", Output()).facts.get("findings", ())),
            "leaderboard": [
                {**line, "seconds": seconds.get(line["model"])}
                for line in learned.facts.get("leaderboard", ())
            ],
            "learning": {n: learned.facts.get(n) for n in ("model", "choice", "search", "ensemble")},
            "cleaning": {
                **made.get("features", Output()).facts.get("cleaning", {}),
                "forward_filled": made.get("ingest", Output()).notes.get("forward_filled", {}),
            },
            "validation": made.get("evaluate", Output()).facts.get("metrics", {}),
            "evaluation": made.get("evaluate", Output()).facts.get("headlines", {}),
            "test": test.get("estimate"),
            "worth": test.get("worth"),
            "advice": to_plain(self.advice) if self.advice else None,
            "columns": dict(frame.get("columns", {})),
            "release": self.release or None,
            "problems": [to_plain(p) for p in self.problems],
        }

    def _repr_html_(self) -> str:
        plain = self.plain()
        parts = [
            table(
                ["stage", "status", "seconds"],
                [[s["name"], s["status"], s["seconds"]] for s in plain["stages"]],
                title=f"{self.run}: {self.name} — {self.status}",
            )
        ]
        if plain["leaderboard"]:
            lines = [[m["model"], m["mean"], m["std"], m["seconds"]] for m in plain["leaderboard"]]
            parts.append(table(["model", "mean", "std", "seconds"], lines, title="leaderboard"))
        gates = [[g["stage"], g["name"], g["verdict"], g["value"], g["rule"]] for g in plain["gates"]]
        parts.append(table(["stage", "gate", "verdict", "value", "rule"], gates, title="gates"))
        return "".join(parts)


def not_begun(error: HeadraceError) -> RunResult:
    """The result of a run that a mistake in spec, data or waivers kept from beginning."""
    return RunResult("", "", "failed", (), (), "", 0.0, error.exit_code, error.problems, error)


def gate_line(verdict: Verdict) -> Mapping[str, Any]:
    """A verdict as one flat JSON object."""
    evidence = verdict.evidence
    return {
        "name": verdict.gate,
        "stage": verdict.stage,
        "verdict": verdict.outcome.value,
        "value": evidence.value,
        "interval": to_plain(evidence.interval) if evidence.interval else None,
        "n": evidence.n,
        "unit": evidence.unit,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "where": evidence.where,
        "waiver": to_plain(verdict.waiver) if verdict.waiver else None,
    }
