"""Do a recorded run again from its snapshots, spec, code and environment, and see what agrees."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headrace.core.clock import Clock, iso
from headrace.core.codec import from_json, to_plain
from headrace.core.errors import NotFound, UserError
from headrace.core.event import Draft
from headrace.core.function import PYTHON
from headrace.core.html import table
from headrace.core.ports import Store
from headrace.core.spec import FILE_NAME, Spec
from headrace.core.views import RUN_KINDS, RunView, runs
from headrace.engine.context import Output, Progress, silent
from headrace.engine.environment import environment
from headrace.engine.pins import output_of
from headrace.engine.rerun import LAST
from headrace.engine.venv import fresh_python
from headrace.stores import EmbeddedStore

SKIPPED = frozenset({"frame"})
"""Makes nothing that others depend on, and is new each day."""


@dataclass(frozen=True)
class StageAgreement:
    """Whether a stage made the same again; `differs` names the outputs and facts that are not the same."""

    stage: str
    agrees: bool
    differs: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetricAgreement:
    """A validation metric then and now."""

    name: str
    then: float | None
    now: float | None

    @property
    def agrees(self) -> bool:
        return self.then == self.now


@dataclass(frozen=True)
class Reproduction:
    """What came of doing a run again. `libraries` are those whose versions differ: then and now.

    `code` says where the project's own Python files came from. The test estimate is not measured again: it
    belongs to the packaged graph, and holds where that is the same.
    """

    run: str
    agrees: bool
    status: str
    stages: tuple[StageAgreement, ...]
    metrics: tuple[MetricAgreement, ...]
    libraries: Mapping[str, tuple[str, str]]
    code: str
    python: str
    problems: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """The object that `headrace reproduce --json` prints and that `run.reproduced` keeps."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    def _repr_html_(self) -> str:
        rows = [[s.stage, "same" if s.agrees else "differs", ", ".join(s.differs)] for s in self.stages]
        return table(["stage", "", "what differs"], rows, title=f"{self.run} done again")


def reproduce(
    store: Store,
    run: str,
    *,
    root: Path,
    clock: Clock,
    actor: str,
    new_environment: bool = True,
    progress: Progress = silent,
) -> Reproduction:
    """Do `run` again, to the end of `evaluate`, and append a `run.reproduced` event.

    The snapshots, the spec and the seed are those of the run; the code is that of its commit where the
    project stands in git and the tree was clean. With `new_environment` the interpreter is a fresh virtual
    environment with the recorded versions of every distribution, else the present one.

    Raises:
        NotFound: there is no such run, it did not reach `evaluate`, or its artifacts are gone.
        UserError: the environment can't be made.
    """
    view = _find(store, run)
    recorded = {s: output_of(store, view, s) for s in _stages(view)}
    folder = store.scratch("-reproduce")
    folder.mkdir(parents=True)
    try:
        code = _code(root, view, folder) + _kept_code(store, recorded, folder)
        _write_spec(store, view, folder)
        copied = EmbeddedStore(folder / ".headrace")
        _seed(store, copied, view)
        then = _environment(store, view)
        python = Path(sys.executable)
        if new_environment:
            python = fresh_python(folder / "venv", then, progress)
        result = _again(python, folder, view, progress)
        again = _outputs(copied, result)
        found = _compared(view, recorded, again, result, then, python, code)
        copied.close()
    finally:
        _remove(folder)
    draft = Draft("run.reproduced", view.run, iso(clock()), actor, {"reproduction": found.plain()})
    store.append([draft])
    return found


def _find(store: Store, run: str) -> RunView:
    seen = runs(store.read(kinds=RUN_KINDS))
    if run not in seen:
        raise NotFound(f"there is no run {run!r}", fix="`headrace runs` lists them")
    return seen[run]


def _stages(view: RunView) -> list[str]:
    """The stages of the run, to the end of `evaluate`, that others depend on.

    Raises:
        NotFound: it did not come that far.
    """
    names = [s["name"] for s in view.summary.get("stages", ()) if s["status"] != "failed"]
    if LAST not in names:
        raise NotFound(
            f"{view.run} did not reach {LAST}: there is nothing to compare with",
            why=f"it is {view.status}",
            fix="name a run that came further: `headrace runs` lists them",
        )
    return [n for n in names[: names.index(LAST) + 1] if n not in SKIPPED]


def _code(root: Path, view: RunView, folder: Path) -> str:
    """Put the project's Python files into the folder; where they came from."""
    if view.commit and not view.dirty:
        git = ["git", "-C", str(root)]
        prefix = subprocess.run(
            [*git, "rev-parse", "--show-prefix"], capture_output=True, text=True, check=False
        )
        tree = f"{view.commit}:{prefix.stdout.strip()}"
        packed = subprocess.run([*git, "archive", "--format=tar", tree], capture_output=True, check=False)
        if packed.returncode == 0:
            with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
                for member in archive.getmembers():
                    if member.name.endswith(".py") and member.isfile():
                        archive.extract(member, folder, filter="data")
            return f"commit {view.commit[:12]}"
    for file in sorted(root.glob("**/*.py")):
        inside = file.relative_to(root)
        if not any(part.startswith(".") for part in inside.parts):
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            (folder / inside).write_bytes(file.read_bytes())
    why = "the tree was dirty" if view.dirty else "the commit is gone" if view.commit else "outside git"
    return f"today's files ({why})"


def _kept_code(store: Store, recorded: Mapping[str, Output], folder: Path) -> str:
    """Put the files that features' functions ran from over those of the project; what came of it."""
    artifact = recorded["features"].outputs.get(PYTHON) if "features" in recorded else None
    if artifact is None:
        return ""
    kept = from_json(store.get(artifact).read_bytes(), dict[str, str])
    for name, text in kept.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return f"; {', '.join(kept)} as the run kept them"


def _write_spec(store: Store, view: RunView, folder: Path) -> None:
    spec = Spec.model_validate_json(store.get(view.spec).read_bytes())
    plain = spec.model_dump(mode="python", exclude_defaults=True)
    text = yaml.safe_dump(_lists(plain), sort_keys=False, allow_unicode=True)
    (folder / FILE_NAME).write_text(text, encoding="utf-8")


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _seed(store: Store, copied: Store, view: RunView) -> None:
    """What the run rested on, and nothing that it made: its snapshots, and the waivers of its time."""
    made = output_of(store, view, "ingest")
    key = next(s["key"] for s in view.summary["stages"] if s["name"] == "ingest")
    for artifact in {*made.outputs.values(), view.spec}:
        copied.put(store.get(artifact).read_bytes())
    wanted = [*store.read(kinds=RUN_KINDS, subject=view.run), *store.read(kinds=("gate.waived",))]
    wanted += [next(iter(store.read(kinds=("stage.finished",), subject=key, newest_first=True)))]
    copied.append([Draft(e.kind, e.subject, e.time, e.actor, e.payload) for e in wanted])


def _environment(store: Store, view: RunView) -> Mapping[str, Any]:
    if not view.environment or not store.has(view.environment):
        return {}
    found: Mapping[str, Any] = from_json(store.get(view.environment).read_bytes(), dict)
    return found


def _again(python: Path, folder: Path, view: RunView, progress: Progress) -> Mapping[str, Any]:
    """Run in another process, and pass its progress on."""
    command = [str(python), "-m", "headrace.engine.rerun", str(folder), view.run, view.started]
    inherited = os.environ.get("PYTHONPATH", "") if python == Path(sys.executable) else ""
    path = os.pathsep.join(p for p in (str(folder), inherited) if p)
    settings = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=settings, cwd=folder
    ) as process:
        last: deque[str] = deque(maxlen=8)
        for line in process.stdout or ():
            try:
                stage, text, done, total = json.loads(line)
            except ValueError:
                last.append(line.rstrip())
            else:
                progress(stage, text, done, total)
    file = folder / "rerun.json"
    if process.returncode != 0 or not file.is_file():
        raise UserError(
            f"{view.run} can't be done again: its process ended with {process.returncode}",
            why=" / ".join(last),
            fix="look at the lines above; --environment present runs it with the libraries of today",
        )
    result: Mapping[str, Any] = from_json(file.read_bytes(), dict)
    return result


def _outputs(copied: Store, result: Mapping[str, Any]) -> dict[str, Output]:
    view = next(reversed(runs(copied.read(kinds=RUN_KINDS)).values()))
    made = {}
    for stage in result["stages"]:
        if stage["status"] != "failed":
            made[stage["name"]] = output_of(copied, view, stage["name"])
    return made


def _compared(
    view: RunView,
    recorded: Mapping[str, Output],
    again: Mapping[str, Output],
    result: Mapping[str, Any],
    then: Mapping[str, Any],
    python: Path,
    code: str,
) -> Reproduction:
    stages = tuple(_stage(name, output, again.get(name)) for name, output in recorded.items())
    before, now = (r.get("validation") or {} for r in (view.summary, result))
    metrics = tuple(
        MetricAgreement(n, m["value"], (now.get(n) or {}).get("value")) for n, m in before.items()
    )
    problems = tuple(p["what"] for p in result["problems"])
    return Reproduction(
        run=view.run,
        agrees=all(s.agrees for s in stages),
        status=result["status"],
        stages=stages,
        metrics=metrics,
        libraries=_differing(then, python),
        code=code,
        python=then.get("python", "not recorded"),
        problems=problems,
    )


def _stage(name: str, then: Output, now: Output | None) -> StageAgreement:
    if now is None:
        return StageAgreement(name, False, ("it was not reached",))
    differs = [r for r in {**then.outputs, **now.outputs} if then.outputs.get(r) != now.outputs.get(r)]
    facts = [f for f in {**then.facts, **now.facts} if then.facts.get(f) != now.facts.get(f)]
    return StageAgreement(name, not differs and not facts, (*differs, *facts))


def _differing(then: Mapping[str, Any], python: Path) -> dict[str, tuple[str, str]]:
    """Distributions whose versions are not those of the run, where it was done in this interpreter."""
    if python != Path(sys.executable) or not then:
        return {}
    before: Mapping[str, str] = then["distributions"]
    now: Mapping[str, str] = environment()["distributions"]
    differing = {n: (v, now.get(n, "absent")) for n, v in before.items() if now.get(n) != v}
    if then["python"] != environment()["python"]:
        differing["python"] = (then["python"], environment()["python"])
    return differing


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
