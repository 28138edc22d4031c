"""The Python API: everything that the commands do, in one class."""

from __future__ import annotations

from pathlib import Path

from headrace.project.acting import Acting
from headrace.project.base import STORE_DIR
from headrace.project.comparing import Comparing
from headrace.project.experiments import Experimenting
from headrace.project.exporting import Exporting
from headrace.project.look import Looking
from headrace.project.mending import Mending
from headrace.project.routing import Routing
from headrace.project.scheduling import Scheduling
from headrace.project.serving import Serving
from headrace.project.tokens import Tokens
from headrace.project.watching import Watching
from headrace.project.work import Working


class Project(
    Acting,
    Working,
    Looking,
    Routing,
    Serving,
    Tokens,
    Mending,
    Experimenting,
    Exporting,
    Scheduling,
    Watching,
    Comparing,
):
    """A headrace project: a folder with a `headrace.yaml`, and its store under `.headrace/`.

    Args:
        path: the project's folder.
        store: where events and artifacts are kept (default: the embedded store in the folder).
        clock: the present moment, as a function (default: the machine's clock).
        actor: the name that events carry (default: `HEADRACE_USER`, git's user.email, or the login).
    """

    @staticmethod
    def init(
        folder: str | Path,
        *,
        example: str | None = None,
        data: str | Path | None = None,
        from_file: str | Path | None = None,
        target: str | None = None,
    ) -> Project:
        """Write a new project: an example (`flights`; `housing` with its `data`), or one drafted from a
        file of the user's and the column to predict.

        Raises:
            UserError: the folder holds a spec already, or what was asked for can't be drafted.
        """
        from headrace.draft import start

        start(
            Path(folder),
            example=example,
            data=Path(data) if data else None,
            from_file=Path(from_file) if from_file else None,
            target=target,
        )
        return Project(folder)


__all__ = ["STORE_DIR", "Project"]
