"""The design document of real projects: before a run, blocked, released; three kinds of task; drift."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from spine import AUTHOR, Clock, begin, edit_rows, edit_spec
from worlds import homes, wine

from headrace.cli.root import cli
from headrace.core.errors import SpecError
from headrace.project import Project
from headrace.report.document import to_html, to_markdown

SECTIONS = [
    "Problem definition",
    "Feature engineering",
    "Experiment tracking",
    "Training pipeline",
    "Model serving",
    "A/B testing",
    "Monitoring and drift",
    "Retraining policy",
    "Tool choices",
    "Operational runbook",
    "What is missing",
]

PLANS = """
context: {team: 3, maturity: some, latency: 2 s, volume: 5000 / day, constraints: [no cloud]}
serve: {mode: rest, p50: 10 ms, p99: 50 ms, throughput: 5 / s, scaling: two servers,
        fallback: [{value: false}]}
experiment:
  unit: parcel
  primary: parcels with a complaint
  baseline: 0.2
  expected: 0.18
  guardrails: [p99 <= 50 ms]
  minimum: 60 days
watch: {slices: [depot], ignore: [courier], health: {p99: 50 ms}}
alerts: {budget: 1 per month, to: [{email: owner@example.com, after: 4 h}]}
policy:
  reactions:
    - {on: performance, do: roll back, within: 7 days}
    - {on: drift, do: retrain, least: 2}
    - {on: schedule, cron: "0 3 1 * *", do: retrain}
  windows: [30 days, 365 days]
"""


def sections(markdown: str) -> list[str]:
    return re.findall(r"^## (.*)$", markdown, flags=re.M)


def part(markdown: str, title: str) -> str:
    found = markdown.split(f"\n## {title}\n")[1]
    return found.split("\n## ")[0]


def document(project: Project) -> str:
    return to_markdown(project.document())


@functools.cache
def _released(base: Path) -> Path:
    """A project with two releases: the second is champion, the first can be rolled back to."""
    project = begin(base / "documented", clock=Clock())
    spec = project.root / "headrace.yaml"
    spec.write_text(spec.read_text(encoding="utf-8") + PLANS, encoding="utf-8")
    assert project.run().status == "released"
    edit_spec(project, ("models: [tree]", "models: [tree]\nseed: 1"))
    assert project.run().status == "released"
    project.note("run-1", tags={"team": "a"}, group="first")
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's
    return project.root


@pytest.fixture
def released(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path / "project"
    shutil.copytree(_released(tmp_path_factory.getbasetemp()), folder)
    project = Project(folder, clock=Clock(), actor=AUTHOR)
    yield project
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def test_before_any_run_the_spec_is_enough(tmp_path: Path) -> None:
    text = document(begin(tmp_path / "p"))
    assert sections(text) == SECTIONS
    assert "no run yet" in text.split("## ")[0]
    assert "Not measured yet" in part(text, "Problem definition")
    assert "| `wind` | weather | as it is: `weather.wind` | number | not looked at yet" in text
    assert "weather known by seen 60 min before, at most 3 h old" in text
    assert "*not declared: add* `serve`" in part(text, "Model serving")


def test_without_its_tables_the_document_says_so(tmp_path: Path) -> None:
    project = begin(tmp_path / "p")
    shutil.rmtree(project.root / "data")
    text = document(project)
    assert sections(text) == SECTIONS
    assert "can't be read" in part(text, "Feature engineering")
    assert "`distance`" in part(text, "Feature engineering")


def test_a_spec_with_mistakes_has_no_document(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("distance: distance", "distance: distnce"))
    with pytest.raises(SpecError, match="distnce"):
        project.document()


@pytest.mark.parametrize("world", ["wine", "homes"])
def test_other_tasks(world: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if world == "wine":
        project = wine(tmp_path / "p", clock=Clock())
    else:
        project = homes(tmp_path / "p", request.getfixturevalue("housing"), rows=400, clock=Clock())
    before = document(project)
    project.run(to="learn", raises=False)
    after = document(project)
    for text in (before, after):
        assert sections(text) == SECTIONS
    kind = "Classification with several classes" if world == "wine" else "Regression"
    assert kind in part(before, "Problem definition")
    assert "naive baseline" in part(after, "Problem definition")
    assert "low: sent by the caller; nothing found in run-1" in after
    assert ("'class_0', 'class_1' and 'class_2'" in after) is (world == "wine")
    assert "No. Every feature is computed from the columns that the caller sends" in after


def test_after_a_release_figures_come_from_the_ledger(released: Project) -> None:
    text = document(released)
    run = released.show("run-2")
    lines = {m["model"]: m for m in run.summary["leaderboard"]}
    problem = part(text, "Problem definition")
    for model in ("naive", "today"):
        assert f"{lines[model]['mean']:.4g}" in problem
    test = run.summary["test"]
    assert run.summary["status"] == "released"
    assert ("verdict alone" in problem) or test["value"] is None or f"{test['value']:.4g}" in problem
    gates = {g["name"]: g for g in run.summary["gates"]}
    assert f"{gates['latency']['value']:.4g} ms" in part(text, "Model serving")
    pipeline = part(text, "Training pipeline")
    for gate in gates:
        assert f"`{gate}`" in pipeline
    champion = released.releases().champion
    assert champion is not None
    assert f"champion {champion.release}" in pipeline
    tracking = part(text, "Experiment tracking")
    assert "2 runs of the pipeline (released 2)" in tracking
    assert "first (1 run)" in tracking
    assert "team=a (1 run)" in tracking


def test_the_same_inputs_give_the_same_bytes_whatever_the_day(released: Project) -> None:
    first = released.document()
    later = Project(
        released.root, clock=Clock(Clock()().replace(year=2031)), actor="somebody else"
    ).document()
    assert to_markdown(later) == to_markdown(first)
    assert to_html(later) == to_html(first)


def test_a_blocked_run_is_told_and_the_figures_stay(released: Project) -> None:
    edit_spec(released, ("ship_at: 0.3", "ship_at: 0.3\n  assumptions: [{text: far, check: distance > 40}]"))
    assert released.run(raises=False).status == "blocked"
    text = document(released)
    stand = text.split("## ")[0]
    assert "Figures are of run-2 (released" in stand
    assert "The newest run is run-3: blocked by assumption: distance > 40" in stand
    assert "The spec has changed since: problem" in stand


def test_a_leak_that_the_linter_found_is_a_risk(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", ("  hour: hour(at)", "  hour: hour(at)\n  copy: noted * 2"))
    edit_rows(project, lambda row: {**row, "noted": row["late"]})
    assert project.run(raises=False).status == "blocked"
    row = next(line for line in document(project).splitlines() if line.startswith("| `copy`"))
    assert "high, and it blocks" in row
    edit_spec(project, ("copy: noted * 2", "copy: distance * 2"))
    row = next(line for line in document(project).splitlines() if line.startswith("| `copy`"))
    assert "not looked at yet" in row, "what was found of another definition says nothing of this one"


def test_a_table_without_time_is_to_be_looked_at(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", (", time: seen, ttl: 3 h", ""))
    row = next(line for line in document(project).splitlines() if line.startswith("| `wind`"))
    assert "to look at: weather is looked up without time" in row


# --- the runbook -----------------------------------------------------------------------------------


def commands(markdown: str) -> list[str]:
    """Every command line of the shell blocks, and every one that is named in a text."""
    blocks = re.findall(r"```sh\n(.*?)```", markdown, flags=re.S)
    named = re.findall(r"`(headrace [^`]*)`", markdown)
    return [line for block in blocks for line in block.splitlines()] + named


def parses(line: str) -> None:
    """The command exists with these arguments and options. Nothing is run."""
    words = shlex.split(line)
    assert words[0] == "headrace"
    command: click.Command = cli
    context = click.Context(cli, info_name="headrace")
    rest = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0])
        assert found is not None, f"{line}: there is no {rest[0]}"
        command, rest = found, rest[1:]
        context = click.Context(command, parent=context, info_name=words[1])
    if rest or "-C" in words:
        command.parse_args(context, list(rest))


def test_the_commands_of_the_runbook_exist_with_their_options(released: Project, tmp_path: Path) -> None:
    other = begin(tmp_path / "a b", ("approval: self", "approval: other"))
    fresh = document(other)
    other.run(raises=False)
    waiting = document(other)
    for text in (document(released), fresh, waiting):
        lines = commands(text)
        assert len(lines) > 12
        for line in lines:
            parses(line)
    assert "-C 'a b'" in fresh
    assert "headrace release approve" in waiting
    assert f"Its author, {AUTHOR}, may not approve it" in waiting
    with pytest.raises((AssertionError, click.UsageError)):
        parses("headrace release rollback --why x")


def test_the_runbook_names_releases_and_owners(released: Project) -> None:
    text = part(document(released), "Operational runbook")
    state = released.releases()
    assert state.champion is not None
    assert state.champion.release in text
    assert f"Brings back `{state.before_champion()}` at once" in text
    assert "Who: learner@example.com." in text
    assert "headrace release rollback --reason 'what went wrong' -C project" in text


def test_the_retraining_command_of_the_runbook_compares_with_the_next_run(released: Project) -> None:
    line = next(c for c in commands(document(released)) if c.startswith("headrace compare"))
    assert line == "headrace compare run-2 run-3 -C project"


# --- the command -----------------------------------------------------------------------------------


def headrace(project: Project, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doc", *arguments, "-C", str(project.root)])


@pytest.mark.parametrize("name", ["design.md", "design.html"])
def test_a_written_copy_that_drifts_fails_and_shows_what_did(
    released: Project, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    done = headrace(released, "-o", str(file))
    assert done.exit_code == 0, done.output
    assert headrace(released, "--check", str(file)).exit_code == 0
    edit_spec(released, ("decision: warn the customer", "decision: call the customer"))
    drifted = headrace(released, "--check", str(file))
    assert drifted.exit_code == 3
    assert re.search(r"^-.*warn the customer", drifted.output, flags=re.M)
    assert re.search(r"^\+.*call the customer", drifted.output, flags=re.M)
    assert max(map(len, drifted.output.splitlines())) < 1500, "a difference can be read"
    assert headrace(released, "-o", str(file)).exit_code == 0
    assert headrace(released, "--check", str(file)).exit_code == 0
    file.write_text(
        file.read_text(encoding="utf-8").replace("call the customer", "by hand"), encoding="utf-8"
    )
    told = json.loads(headrace(released, "--json", "--check", str(file)).stdout)
    assert told["same"] is False
    assert any("by hand" in line for line in told["difference"])


def test_the_command_prints_writes_and_refuses(tmp_path: Path) -> None:
    project = begin(tmp_path / "p")
    printed = headrace(project)
    assert printed.output == document(project)
    plain = json.loads(headrace(project, "--json").output)
    assert [s["title"] for s in plain["sections"]] == SECTIONS
    assert plain["missing"] == list(project.document().lacks())
    for arguments, said in (
        (["-o", str(tmp_path / "a.txt")], "neither Markdown nor HTML"),
        (["-o", str(tmp_path / "no" / "a.md")], "can't be written"),
        (["--check", str(tmp_path / "none.md")], "can't be read"),
        (["-o", "a.md", "--check", "a.md"], "-o writes"),
    ):
        done = headrace(project, *arguments)
        assert done.exit_code == 2, done.output
        assert said in done.output
    assert not (tmp_path / "a.txt").exists()


# --- the plans under `headrace check` --------------------------------------------------------------


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ({"serve": {"p50": "1 s", "p99": "50 ms"}}, "serve.p50 (1 s) is longer than serve.p99 (50 ms)"),
        ({"serve": {"mode": "batch", "p99": "50 ms"}}, "in mode batch there are none"),
        ({"serve": {"throughput": "5 / fortnight"}}, "is no rate"),
        ({"serve": {"p99": "50"}}, "is no duration"),
        ({"context": {"volume": "0 / day"}}, "is no rate"),
        ({"context": {"team": 0}}, "team"),
        ({"context": {"choices": {"x": " "}}}, "the choice 'x' has no reason"),
        ({"experiment": {"unit": "parcell"}}, "did you mean 'parcel'?"),
        ({"experiment": {"unit": "at"}}, "is a time, which belongs to no arm"),
        ({"experiment": {"primary": "f2"}}, "no metric 'f2' for this task"),
        ({"experiment": {"primary": "rmse"}}, "no metric 'rmse' for this task"),
        ({"experiment": {"traffic": 1.5}}, "traffic"),
        ({"experiment": {"baseline": 0.1}}, "experiment.baseline needs experiment.expected"),
        ({"experiment": {"baseline": 0.1, "expected": 0.1}}, "is the same as experiment.baseline"),
        ({"experiment": {"primary": "f1", "baseline": 0.2, "expected": 0.3}}, "f1 is no share of units"),
        ({"experiment": {"guardrails": ["p99 <= 50"]}}, "needs a unit of time"),
        ({"experiment": {"guardrails": ["pp99 <= 50 ms"]}}, "did you mean 'p99'"),
        ({"experiment": {"guardrails": ["fpr <= 20"]}}, "20% would be a share"),
        ({"experiment": {"guardrails": ["nothing breaks"]}}, "is no guardrail"),
    ],
)
def test_plans_that_can_t_be_kept_are_refused_with_their_line(
    tmp_path: Path, plans: dict[str, Any], said: str
) -> None:
    project = begin(tmp_path / "p", rows=20)
    file = project.root / "headrace.yaml"
    file.write_text(file.read_text(encoding="utf-8") + yaml.safe_dump(plans), encoding="utf-8")
    with pytest.raises(SpecError) as error:
        project.check()
    assert said in str(error.value)
    assert all(re.search(r"headrace\.yaml:\d+", p.where) for p in error.value.problems)


def test_sensible_plans_pass(tmp_path: Path) -> None:
    project = begin(tmp_path / "p", rows=20)
    file = project.root / "headrace.yaml"
    more = "guardrails: [complaints a day <= 5, null_share <= 5%, p99 <= 1.5 s]"
    plans = PLANS.replace("guardrails: [p99 <= 50 ms]", more)
    file.write_text(file.read_text(encoding="utf-8") + plans, encoding="utf-8")
    project.check()
