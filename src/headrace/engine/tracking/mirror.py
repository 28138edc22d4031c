"""Runs shown in an MLflow server as well. The ledger stays the truth: a mirror that fails fails no run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.core.codec import from_json, to_json
from headrace.core.errors import HeadraceError, MissingDependency, UserError
from headrace.core.ports import Store
from headrace.core.views import RunView
from headrace.engine.tracking.record import Tracked

VARIABLE = "HEADRACE_TRACKING"
BATCH = 500
LONGEST = 6_000
"""MLflow's limits: so many metrics a request, and so many characters a parameter."""


class NotMirrored(UserWarning):
    """A run is in the ledger, and not in the mirror."""


@dataclass(frozen=True)
class Mirror:
    """An MLflow server, by its URI."""

    uri: str

    def show(self, store: Store, project: str, run: RunView) -> str:
        """Copy a run that has ended: params, series of metrics, tags, artifacts. MLflow's id of it.

        A run is one MLflow run: a second call with the same run makes another.

        Raises:
            MissingDependency: the client is not installed.
            UserError: the server can't be reached, or refuses.
        """
        client = _client(self.uri)
        from mlflow.exceptions import MlflowException

        try:
            return _show(client, store, project, run)
        except (MlflowException, OSError) as error:  # what the HTTP client raises is an OSError
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(
                f"{run.run} is not in {self.uri}", why=first[:300], fix="is the server there? is it MLflow's?"
            ) from error


def _show(client: Any, store: Store, project: str, run: RunView) -> str:
    experiment = client.get_experiment_by_name(project)
    number = experiment.experiment_id if experiment else client.create_experiment(project)
    started = _milliseconds(run.started)
    made = client.create_run(number, start_time=started, tags=_tags(run), run_name=run.run)
    name: str = made.info.run_id
    logged = _logged(store, run)
    _send_params(client, name, _params(store, run, logged))
    _send_metrics(client, name, _metrics(run, logged, started))
    with TemporaryDirectory() as folder:
        for file in _files(store, run, logged, Path(folder)):
            client.log_artifact(name, str(file))
    status = "FAILED" if run.status == "failed" else "FINISHED"
    client.set_terminated(name, status=status, end_time=_milliseconds(run.finished or run.started))
    return name


def find_mirror(text: str | None) -> Mirror | None:
    """The mirror that `mlflow:URI` names; where none is given, the one in `HEADRACE_TRACKING`.

    Raises:
        UserError: the text names no mirror.
    """
    text = text or os.environ.get(VARIABLE) or ""
    if not text:
        return None
    kind, _, uri = text.partition(":")
    if kind != "mlflow" or not uri:
        raise UserError(
            f"{text!r} is no mirror", fix="write mlflow: and the server's URI: mlflow:http://localhost:5000"
        )
    return Mirror(uri)


def show_safely(mirror: Mirror | None, store: Store, project: str, run: RunView) -> None:
    """Mirror a run; where that fails, warn (`NotMirrored`) and go on."""
    if mirror is None:
        return
    try:
        mirror.show(store, project, run)
    except HeadraceError as error:
        warnings.warn(str(error.problems[0]), NotMirrored, stacklevel=2)


def _client(uri: str) -> Any:
    # Unless it is told otherwise the client asks seven times, for minutes, before it gives up.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingDependency(
            "the MLflow client is not installed", fix="pip install 'headrace[mlflow]'"
        ) from error
    return MlflowClient(tracking_uri=uri)


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _tags(run: RunView) -> dict[str, str]:
    """headrace's own under `headrace.`, the user's as they are."""
    own = {
        "run": run.run,
        "name": run.name,
        "status": run.status,
        "release": run.release,
        "commit": run.commit,
        "spec": run.spec,
        "group": run.group,
    }
    tags = {f"headrace.{n}": v for n, v in own.items() if v}
    if run.notes:
        tags["mlflow.note.content"] = "\n\n".join(run.notes)
    return {**tags, **run.tags}


def _logged(store: Store, run: RunView) -> Tracked:
    return from_json(store.get(run.logged).read_bytes(), Tracked) if run.logged else Tracked()


def _params(store: Store, run: RunView, logged: Tracked) -> dict[str, str]:
    """A script's params; of a run of the spine, its spec by dotted names."""
    if run.script:
        return {n: str(v) for n, v in logged.params.items()}
    spec: Mapping[str, Any] = from_json(store.get(run.spec).read_bytes(), dict) if run.spec else {}
    return {n: str(v)[:LONGEST] for n, v in _flat(spec, "")}


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _metrics(run: RunView, logged: Tracked, started: int) -> list[tuple[str, float, int, int]]:
    """Name, value, moment and step of every point; of a run of the spine its results."""
    points = [
        (name, p.value, started + round(p.seconds * 1000), p.step)
        for name, series in logged.metrics.items()
        for p in series
        if p.value is not None
    ]
    s, end = run.summary, _milliseconds(run.finished or run.started)
    found = {f"validation/{n}": m["value"] for n, m in s.get("validation", {}).items()}
    found |= {f"cv/{m['model']}": m["mean"] for m in s.get("leaderboard", ())}
    found |= {f"seconds/{t['name']}": t["seconds"] for t in s.get("stages", ())}
    test = s.get("test") or {}
    if test:
        found[f"test/{test['metric']}"] = test["value"]
    return points + [(n, float(v), end, 0) for n, v in found.items() if v is not None]


def _send_params(client: Any, name: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    listed = [Param(_plain(n), v) for n, v in params.items()]
    for i in range(0, len(listed), 100):
        client.log_batch(name, params=listed[i : i + 100])


def _send_metrics(client: Any, name: str, points: list[tuple[str, float, int, int]]) -> None:
    from mlflow.entities import Metric

    listed = [Metric(_plain(n), value, moment, step) for n, value, moment, step in points]
    for i in range(0, len(listed), BATCH):
        client.log_batch(name, metrics=listed[i : i + BATCH])


def _plain(name: str) -> str:
    """Names of MLflow's: letters, digits and a few signs."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)


def _files(store: Store, run: RunView, logged: Tracked, folder: Path) -> Iterator[Path]:
    """The run's summary, and what a script kept, under their own names."""
    summary = folder / "summary.json"
    summary.write_bytes(to_json(run.summary))
    yield summary
    for name, kept in logged.artifacts.items():
        plain = name if Path(name).suffix == kept.ending else name + kept.ending
        file = folder / _plain(plain).replace("/", "_")
        file.write_bytes(store.get(kept.digest).read_bytes())
        yield file
