"""A script's run while it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from headrace.core.codec import to_json
from headrace.core.errors import HeadraceError, UserError
from headrace.core.views import RUN_KINDS, runs
from headrace.engine.context import Context
from headrace.engine.result import Trail, gate_line
from headrace.engine.stages.split import load_array, put_array, task_of
from headrace.engine.tracking.artifacts import as_file, as_plot, as_table
from headrace.engine.tracking.data import Matrices, matrices, prepare
from headrace.engine.tracking.mirror import Mirror, show_safely
from headrace.engine.tracking.record import Given, Kept, Point, Scalar, Tracked, number, scalar

SAVE_SECONDS = 5.0
"""What was logged is on disk after so long at the latest, once the next thing is logged."""


class TrackedRun:
    """A run of a script: `with project.track("name") as run:`. Threads may log side by side.

    What is logged is saved every few seconds and when the block ends, also when it ends by an exception:
    then the run has failed, with the exception's text. A killed process loses the last seconds.
    """

    def __init__(
        self,
        ctx: Context,
        *,
        mirror: Mirror | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = ctx.run
        self._ctx = ctx
        self._mirror = mirror
        self._clock = clock
        self._began = self._saved = clock()
        self._lock = threading.RLock()
        self._params: dict[str, Scalar] = {}
        self._metrics: dict[str, list[Point]] = {}
        self._artifacts: dict[str, Kept] = {}
        self._model: Given | None = None
        self._trail: Trail | None = None
        self._over = False

    def data(self) -> Matrices:
        """The feature matrices of train and validation, as the spec declares them; no test row.

        Runs the spine to the end of `inspect`; stages that have run are not run again.

        Raises:
            GateBlocked: a gate blocks.
            UserError: a mistake in the spec or the tables.
        """
        with self._lock:
            return matrices(self._ctx, self._prepared())

    def _prepared(self) -> Trail:
        if self._trail is None:
            self._trail = prepare(self._ctx)
        return self._trail

    def log_params(self, params: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Log parameters: numbers, texts, booleans, None. One that was logged keeps its value.

        Raises:
            UserError: a value is of another kind, or differs from what was logged.
        """
        given = {n: scalar(n, v) for n, v in {**(params or {}), **more}.items()}
        with self._lock:
            for name, value in given.items():
                if name in self._params and self._params[name] != value:
                    raise UserError(
                        f"parameter {name!r} was logged as {self._params[name]!r}, and now as {value!r}",
                        fix="log what changes as a metric, or track another run",
                    )
            self._params.update(given)
            self._touched()

    def log_metrics(
        self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any
    ) -> None:
        """Log metrics at a step (default: one after the last of each).

        Raises:
            UserError: a value is no number.
        """
        given = {n: number(n, v) for n, v in {**(metrics or {}), **more}.items()}
        with self._lock:
            seconds = self._clock() - self._began
            for name, value in given.items():
                series = self._metrics.setdefault(name, [])
                at = step if step is not None else (series[-1].step + 1 if series else 0)
                series.append(Point(int(at), value, round(seconds, 3)))
            self._touched()

    def log_artifact(self, file: str | Path | bytes, name: str | None = None) -> None:
        """Keep a file, or bytes under a name.

        Raises:
            UserError: there is no such file, or bytes have no name.
        """
        self._keep(*as_file(file, name), kind="file")

    def log_table(self, name: str, rows: Any) -> None:
        """Keep a table as Parquet: a data frame (pandas, polars, Arrow), a dict of columns, or rows as dicts.

        Raises:
            UserError: it is no table.
        """
        self._keep(name, *as_table(name, rows), kind="table")

    def log_plot(self, name: str, figure: Any) -> None:
        """Keep a figure: Plotly's as HTML that stands alone, Matplotlib's as PNG.

        Raises:
            UserError: it is neither.
        """
        self._keep(name, *as_plot(name, figure), kind="plot")

    def log_model(self, model: Any) -> None:
        """Give a fitted scikit-learn estimator or pipeline, or the path of an ONNX file, that reads the X of
        `data()`. It is converted, compared with its graph, and can go through the gates: see
        `Project.run(model=run.id)`.

        Raises:
            UserError: it does not fit the task, or can't be turned into an equal graph.
        """
        from headrace.learn.given import given_model

        data = self.data()
        with self._lock:
            trail = self._prepared()
            ctx, outputs = self._ctx, trail.made["features"].outputs
            task = task_of(trail.made)
            fitted = given_model(model, task, data.validation.X)
            probe = np.asarray(load_array(ctx, outputs["X_probe"]))
            self._model = Given(
                name=fitted.name,
                graph=ctx.store.put(fitted.model.SerializeToString()).digest,
                codes=fitted.codes,
                probe=put_array(ctx, fitted.score(probe)).digest,
                validation=put_array(ctx, fitted.score(data.validation.X)).digest,
                features=outputs["graph"],
            )
            self._touched(now=True)

    def note(self, text: str) -> None:
        """Add a note."""
        self._ctx.store.append([self._ctx.draft("run.noted", self.id, note=text)])

    def tag(self, **tags: str) -> None:
        """Add tags; an empty text takes one away."""
        plain = {n: str(v) for n, v in tags.items()}
        self._ctx.store.append([self._ctx.draft("run.noted", self.id, tags=plain)])

    def save(self) -> None:
        """Save what has been logged so far."""
        with self._lock:
            self._touched(now=True)

    def record(self) -> Tracked:
        """What has been logged so far."""
        with self._lock:
            series = {n: tuple(points) for n, points in self._metrics.items()}
            return Tracked(dict(self._params), series, dict(self._artifacts), self._model)

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        self.finish(error)

    def finish(self, error: BaseException | None = None) -> None:
        """End the run: done, or failed by `error`. A second call does nothing."""
        with self._lock:
            if self._over:
                return
            self._touched(now=True)
            self._over = True
            ctx, trail = self._ctx, self._trail or Trail()
            summary = {
                "run": self.id,
                "status": "failed" if error else "done",
                "seconds": round(self._clock() - self._began, 3),
                "stages": [
                    {"name": s.name, "status": s.status, "seconds": round(s.seconds, 3), "key": s.key}
                    for s in trail.stages
                ],
                "gates": [gate_line(v) for v in trail.verdicts],
                "params": self._params,
                "metrics": self.record().last(),
                "model": self._model.name if self._model else None,
                "release": None,
                "problems": _problems(error),
            }
            ctx.store.append([ctx.draft("run.finished", self.id, **summary)])
            ended = runs(ctx.store.read(kinds=RUN_KINDS))[self.id]
            show_safely(self._mirror, ctx.store, ctx.spec.project, ended)

    def _keep(self, name: str, data: bytes | Path, ending: str, *, kind: str) -> None:
        kept = self._ctx.store.put(data)
        with self._lock:
            self._artifacts[name] = Kept(kept.digest, kept.size, kind, ending)
            self._touched()

    def _touched(self, *, now: bool = False) -> None:
        if self._over:
            raise UserError(f"{self.id} is over", fix="log inside the `with` block, or track another run")
        if now or self._clock() - self._saved >= SAVE_SECONDS:
            record = self._ctx.store.put(to_json(self.record())).digest
            kept = {"record": record, **{n: k.digest for n, k in self._artifacts.items()}}
            if self._model is not None:
                kept |= {"model": self._model.graph, "model scores": self._model.validation}
                kept["model probe"] = self._model.probe
            self._ctx.store.append([self._ctx.draft("run.saved", self.id, record=record, artifacts=kept)])
            self._saved = self._clock()


def _problems(error: BaseException | None) -> list[dict[str, str]]:
    if error is None:
        return []
    if isinstance(error, HeadraceError):
        return [{"what": p.what, "where": p.where, "why": p.why, "fix": p.fix} for p in error.problems]
    return [{"what": f"{type(error).__name__}: {error}", "where": "", "why": "", "fix": ""}]
