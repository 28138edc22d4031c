"""The command line: help, JSON, exit codes, and messages where a command is used wrongly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from spine import STAGES, begin, command, edit_rows, edit_spec

from headrace.cli.release import release
from headrace.cli.root import COMMANDS, Root, cli
from headrace.project import Project


def headrace(project: Project | Path, *arguments: str) -> Result:
    return command(project, *arguments, HEADRACE_USER="author@example.com")


def real(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, in a process of its own, in the project's folder."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("headrace")), *arguments],
        cwd=folder,
        env={**os.environ, "HEADRACE_USER": "author@example.com", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )


def every_command() -> dict[str, click.Command]:
    root = cli
    assert isinstance(root, Root)
    context = click.Context(root)
    found = {name: root.get_command(context, name) for name in root.list_commands(context)}
    commands = {n: c for n, c in found.items() if c is not None and not isinstance(c, click.Group)}
    return commands | {f"release {n}": c for n, c in release.commands.items()}


@pytest.mark.parametrize("name", sorted(every_command()))
def test_every_command_has_help_with_an_example(name: str) -> None:
    found = every_command()[name]
    result = command(None, *name.split(), "--help")
    assert result.exit_code == 0
    assert found.help, name
    assert f"Example: headrace {name}" in " ".join(result.output.split())
    options = {o for p in found.params for o in p.opts}
    assert "-C" in options
    if name not in ("serve", "schema", "ui"):
        assert "--json" in options


def test_the_commands_that_are_promised_are_there() -> None:
    promised = [
        *("init", "check", "schema", "run", "features", "profile", "sql", "data", "runs", "show", "note"),
        *("compare", "ablate", "trials", "release", "route", "predict", "schedule", "materialize", "skew"),
        *("serve", "ui", "export", "token", "ab", "log", "label", "review", "watch", "alerts", "drift"),
        *("policy", "jobs", "worker", "reproduce", "report", "doc", "audit"),
    ]
    assert list(COMMANDS) == promised
    assert sorted(release.commands) == ["approve", "history", "list", "promote", "refuse", "rollback", "show"]


def test_an_unknown_command_gets_a_hint() -> None:
    result = command(None, "runn")
    assert result.exit_code == 2
    assert "no command 'runn'; did you mean 'run' or 'runs'?" in result.stderr
    result = command(None, "release", "aprove")
    assert result.exit_code == 2
    assert "no command 'aprove'; did you mean 'approve' or 'promote'?" in result.stderr
    assert command(None, "run", "--jsn").exit_code == 2


def test_a_released_run_in_a_real_process(tmp_path: Path) -> None:
    """Exit 0, one JSON object on standard output and nothing else; the second time nothing to do."""
    folder = begin(tmp_path / "project").root
    first = real(folder, "run", "--json")
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["status"] == "released"
    assert [s["status"] for s in said["stages"]] == ["ran"] * len(STAGES)
    assert "learn" in first.stderr, "progress goes to standard error, as plain lines"
    assert "\x1b" not in first.stderr + first.stdout
    second = real(folder, "run")
    assert second.returncode == 0
    assert "nothing was new: no stage had to run" in second.stdout
    assert said["release"] in second.stdout
    assert "learn     cached" in second.stderr
    blocked = real(folder, "run", "--waive", "parity", "--reason", "x", "--by", "me", "--until", "2099-01-01")
    assert blocked.returncode == 2
    assert blocked.stdout == ""
    assert "error: gate 'parity' can't be waived" in blocked.stderr
    assert real(folder, "audit").returncode == 0
    assert real(folder, "--version").stdout.startswith("headrace ")


def test_a_blocked_run_exits_with_3(finished: Project) -> None:
    edit_spec(finished, ("cv: {folds: 3}", "cv: {folds: 3}\nlimits: {latency: 1 us}"))
    result = headrace(finished, "run", "--json")
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert (said["status"], said["release"]) == ("blocked", None)
    assert said["problems"][0]["what"] == "gate 'latency' failed"
    assert "blocked: stage package, owner owner@example.com: gate 'latency' failed" in result.stderr
    shown = headrace(finished, "run")
    assert shown.exit_code == 3
    assert "latency" in shown.stdout
    waive = ["--waive", "latency", "--reason", "slow box", "--by", "me@example.com", "--until", "2099-12-31"]
    result = headrace(finished, "run", *waive)
    assert result.exit_code == 0, result.stderr
    assert "fail (waived)" in result.stdout
    shown = headrace(finished, "release", "show")
    assert "waived: latency by me@example.com until 2099-12-31: slow box" in shown.stdout
    said = json.loads(headrace(finished, "release", "show", "--json").stdout)
    waivers = [v["waiver"] for v in said["manifest"]["verdicts"] if v["waiver"]]
    assert waivers[0]["reason"] == "slow box"


def test_a_run_that_awaits_approval_exits_with_4(finished: Project) -> None:
    edit_spec(finished, ("approval: self", "approval: other"))
    result = headrace(finished, "run", "--json")
    assert result.exit_code == 4
    name = json.loads(result.stdout)["release"]
    assert f"headrace release approve {name} --by NAME" in result.stderr
    refused = headrace(finished, "release", "approve", name)
    assert refused.exit_code == 2
    assert "'author@example.com' made release" in refused.stderr
    assert headrace(finished, "release", "promote", name).exit_code == 4
    approved = headrace(finished, "release", "approve", name, "--by", "colleague@example.com", "--json")
    assert json.loads(approved.stdout)["approved_by"] == ["colleague@example.com"]
    again = headrace(finished, "release", "approve", name, "--by", "colleague@example.com")
    assert again.stdout.splitlines() == [
        f"{name}: challenger",
        f"approved by colleague@example.com; next: headrace release promote {name}",
    ]
    promoted = headrace(finished, "release", "promote", name)
    assert promoted.stdout == f"{name}: champion\n"
    listed = headrace(finished, "release", "list").stdout
    assert "colleague@example.com" in listed
    assert len(json.loads(headrace(finished, "release", "list", "--json").stdout)) == 2
    back = headrace(finished, "release", "rollback", "--reason", "a try")
    assert back.stdout.endswith(": champion\n")
    assert name not in back.stdout
    history = json.loads(headrace(finished, "release", "history", "--json").stdout)
    assert [h["how"] for h in history] == ["promotion", "promotion", "rollback"]
    at = history[1]["since"]
    assert headrace(finished, "release", "history", "--at", at).stdout == f"{name}\n"
    assert "nothing was live then" in headrace(finished, "release", "history", "--at", "2001-01-01").stdout
    wrong = headrace(finished, "release", "history", "--at", "yesterday")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "'yesterday' is no moment" in wrong.stderr


def test_a_users_mistake_exits_with_2_and_says_so_in_json(finished: Project) -> None:
    edit_spec(finished, ("distance: distance", "distance: distnce"), ("metric: f1", "metric: f2"))
    result = headrace(finished, "check", "--json")
    assert result.exit_code == 2
    said = json.loads(result.stdout)
    assert not said["ok"]
    assert len(said["problems"]) == 2
    assert any("did you mean 'distance'?" in p["fix"] for p in said["problems"])
    assert all(p["where"].startswith("headrace.yaml:") for p in said["problems"])
    plain = headrace(finished, "check")
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert plain.stderr.count("error: headrace.yaml:") == 2
    result = headrace(finished, "run", "--json")
    assert result.exit_code == 2
    said = json.loads(result.stdout)
    assert (said["run"], said["status"], said["stages"], len(said["problems"])) == (None, "failed", [], 2)
    assert "did you mean 'distance'?" in result.stderr
    assert len(finished.runs()) == 1, "no run was begun"


def test_a_stage_that_fails_is_in_the_json(fresh: Project) -> None:
    edit_rows(fresh, lambda row: {**row, "late": "5"})
    result = headrace(fresh, "run", "--json")
    assert result.exit_code == 2
    said = json.loads(result.stdout)
    assert [s["status"] for s in said["stages"]] == ["ran", "ran", "failed"]
    assert len(said["stages"][-1]["key"]) == 64
    assert "there is nothing to learn" in said["problems"][0]["what"]
    assert headrace(fresh, "run").stderr.count("there is nothing to learn") == 1
    assert [r.status for r in fresh.runs()] == ["failed", "failed"]
    shown = headrace(fresh, "show")
    assert shown.exit_code == 0
    assert "there is nothing to learn" in shown.stdout


def test_our_own_fault_exits_with_1(finished: Project) -> None:
    """What nobody expected is no message of ours: a traceback, and 1."""
    driver = (
        "import headrace.engine.naming as n\n"
        "def broken(*a): raise RuntimeError('unexpected')\n"
        "import headrace.engine.run as r\nr.name_run = broken\n"
        "from headrace.cli import main\nimport sys\nsys.argv = ['headrace', 'run']\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", driver], cwd=finished.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: unexpected" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(["check"], ["run"], ["runs"], ["show"], ["compare", "run-1", "run-2"], ["audit"]),
        *(["release", "list"], ["release", "show"], ["release", "approve", "x"], ["release", "promote", "x"]),
        *(["release", "rollback"], ["release", "history"], ["predict", "in.csv", "-o", "out.csv"], ["serve"]),
    ],
    ids=" ".join,
)
def test_a_folder_that_is_no_project(tmp_path: Path, arguments: list[str]) -> None:
    result = headrace(tmp_path, *arguments)
    assert result.exit_code == 2
    assert f"there is no headrace.yaml in {tmp_path}" in result.stderr
    assert "name it with -C DIR" in result.stderr
    assert list(tmp_path.iterdir()) == [], "asking leaves nothing behind"


def test_before_the_first_run(fresh: Project) -> None:
    assert "no runs yet" in headrace(fresh, "runs").stdout
    assert "no releases yet" in headrace(fresh, "release", "list").stdout
    assert json.loads(headrace(fresh, "runs", "--json").stdout) == []
    for arguments in (["show"], ["release", "show"], ["predict", "x.csv", "-o", "y.csv"], ["serve"]):
        result = headrace(fresh, *arguments)
        assert result.exit_code == 2
        assert "`headrace run`" in result.stderr
    assert headrace(fresh, "audit").stdout == "whole: 0 events, 0 artifacts\n"
    assert "ok: 4 features, 2 expectations, lookups: weather" in headrace(fresh, "check").stdout


def test_runs_show_and_compare(finished: Project) -> None:
    edit_spec(finished, ("hour: hour(at)", "hour: hour(at) + 1"))
    headrace(finished, "run")
    listed = headrace(finished, "runs").stdout
    assert "features: ~hour" in listed
    assert [r["run"] for r in json.loads(headrace(finished, "runs", "--json").stdout)] == ["run-1", "run-2"]
    assert [r["run"] for r in json.loads(headrace(finished, "runs", "-n", "1", "--json").stdout)] == ["run-2"]
    shown = headrace(finished, "show", "run-1").stdout
    for word in ("run-1: first run", "tree", "naive", "today", "beats-today", "ship-at: f1", "roc_auc"):
        assert word in shown
    assert json.loads(headrace(finished, "show", "--json").stdout)["run"] == "run-2"
    unknown = headrace(finished, "show", "run-3")
    assert unknown.exit_code == 2
    assert "there is no run 'run-3'" in unknown.stderr
    assert "did you mean 'run-" in unknown.stderr
    compared = headrace(finished, "compare", "run-1", "run-2").stdout
    assert "spec: features: ~hour" in compared
    said = json.loads(headrace(finished, "compare", "run-1", "run-2", "--json").stdout)
    same = {name for name, equal in said["stages"].items() if equal}
    assert {"ingest", "split"} <= same <= {"frame", "ingest", "split"}
    assert "there is no run 'run-9'" in headrace(finished, "compare", "run-1", "run-9").stderr


def test_predict(finished: Project, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    said = headrace(finished, "predict", str(finished.root / "data" / "parcels.csv"), "-o", str(out))
    assert said.exit_code == 0, said.stderr
    assert said.stdout.startswith("scored 1,200 rows with ")
    assert out.is_file()
    result = headrace(finished, "predict", str(tmp_path / "absent.csv"), "-o", str(out), "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "absent.csv" in result.stderr


def test_audit_names_what_is_broken(finished: Project) -> None:
    assert headrace(finished, "audit").exit_code == 0
    graph = finished.store.get(finished.release()[1].serving.graph)
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    result = headrace(finished, "audit", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["first_broken"] == f"artifact {finished.release()[1].serving.graph}"
    plain = headrace(finished, "audit")
    assert plain.exit_code == 1
    assert plain.stdout.startswith(f"broken: {said['first_broken']}")


def test_schema_is_json_and_fits_the_spec(tmp_path: Path) -> None:
    said = json.loads(command(None, "schema").stdout)
    assert said["title"] == "headrace.yaml"
    file = tmp_path / "headrace.schema.json"
    assert command(None, "schema", "-o", str(file)).exit_code == 0
    assert json.loads(file.read_text()) == said
    into_nothing = command(None, "schema", "-o", str(tmp_path / "no" / "file.json"))
    assert into_nothing.exit_code == 2
    assert "no/file.json" in into_nothing.stderr


def test_a_drafted_project_checks_and_runs(tmp_path: Path) -> None:
    source = begin(tmp_path / "source").root / "data" / "parcels.csv"
    folder = tmp_path / "drafted"
    said = command(None, "init", str(folder), "--from", str(source), "--target", "late", "--json")
    assert said.exit_code == 0, said.stderr
    assert "headrace.yaml" in json.loads(said.stdout)["files"]
    assert json.loads(headrace(folder, "check", "--json").stdout)["ok"]
    again = command(None, "init", str(folder), "--from", str(source), "--target", "late")
    assert again.exit_code == 2
    wrong = command(None, "init", str(tmp_path / "w"), "--from", str(source), "--target", "lat")
    assert wrong.exit_code == 2
    assert "did you mean 'late'" in wrong.stderr


def test_a_port_in_use_is_told_as_a_mistake(finished: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = headrace(finished, "serve", "--port", str(port))
    assert result.exit_code == 2
    assert f"127.0.0.1:{port} can't be listened on" in result.stderr
    assert "name another with --port" in result.stderr


def test_an_interrupt_is_no_fault_of_ours() -> None:
    class Interrupted(Root):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            del ctx
            return click.Command(cmd_name, callback=interrupt)

    def interrupt() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(Interrupted("headrace"), ["run"])
    assert result.exit_code == 130
    assert "stopped; the stages that were done are kept" in result.stderr
    assert CliRunner().invoke(Interrupted("headrace"), ["show"]).stderr.strip() == "stopped"
