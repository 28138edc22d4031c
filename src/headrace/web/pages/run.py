"""Run: everything in its report, as far as it has come; live while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.core.errors import UserError
from headrace.core.tokens import Role
from headrace.core.told import RunTold
from headrace.report.run import run_parts
from headrace.web.page import Asked, Done, Page, Verb
from headrace.web.said import run_path


@dataclass(frozen=True)
class RunPage:
    """The page. told: all that is kept of the run. goes_on: whether its end is not in the ledger."""

    told: RunTold
    goes_on: bool


def model(asked: Asked) -> RunPage:
    """A run."""
    told = asked.project.told(asked.path["run"])
    return RunPage(told, not told.run.finished)


def dress(page: RunPage) -> Mapping[str, Any]:
    """Its sections, as the report has them."""
    from markupsafe import Markup

    parts = run_parts(page.told)
    return {
        "parts": parts,
        "banner": Markup(parts.banner),
        "sections": [(s, Markup(s.body)) for s in parts.sections],
    }


def note(asked: Asked, form: Mapping[str, str]) -> Done:
    """Add a note, a tag or a group."""
    tags = {}
    said = form.get("tag", "").strip()
    if said:
        name, equals, value = said.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{said!r} is no tag", fix="write NAME=VALUE")
        tags = {name.strip(): value.strip()}
    run = asked.path["run"]
    asked.project.note(run, form.get("text", "").strip(), tags=tags, group=form.get("group", "").strip())
    return Done(f"{run} was noted.", run_path(run))


PAGE = Page(
    "run",
    "runs/{run}",
    "",
    "everything that is kept of a run, live while it runs",
    model,
    "run.html",
    verbs={"note": Verb(Role.OPERATOR, note)},
    dress=dress,
    plots=True,
)
