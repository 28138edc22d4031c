"""Docs under test: everything a user can name is documented, and the README's commands run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from headrace.cli.root import COMMANDS
from headrace.core.event import KINDS
from headrace.core.gates import GATES, STAGES
from headrace.engine.plan import SPINE
from headrace.web.registry import BUILT_IN, pages

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_reference_has_not_drifted() -> None:
    assert text("docs/reference.md") == script("reference").reference(), "run: python scripts/reference.py"


@pytest.mark.parametrize("name", [*COMMANDS, *GATES, *KINDS, *STAGES])
def test_every_command_gate_event_and_stage_is_documented(name: str) -> None:
    assert re.search(rf"[`*/ ]{re.escape(name)}[`* ]", text("docs/reference.md"))


def test_every_page_is_documented_with_its_address() -> None:
    told = text("docs/dashboard.md")
    assert len(pages()) >= len(BUILT_IN)
    for page in pages()[: len(BUILT_IN)]:
        address = re.sub(r"\{\w+\}", "NAME", f"/ui/{page.path}".rstrip("/"))
        title = page.label or page.name.capitalize()
        assert re.search(rf"^\| {re.escape(title)} \| `{re.escape(address)}[`?]", told, flags=re.M), page.name


def test_every_gate_stands_behind_its_stage_in_the_overview() -> None:
    lines = {
        line.split("|")[1].strip(): line for line in text("docs/how_it_works.md").splitlines() if "|" in line
    }
    for gate in GATES.values():
        if gate.name in ("expectation", "assumption"):
            assert gate.name in lines[gate.stage]
        else:
            assert gate.name in lines[gate.stage].replace("**", "")


def test_the_overview_names_the_stages_in_their_order() -> None:
    names = [step.stage.name for step in SPINE]
    assert names == [n for n in STAGES if n != "promote"]
    overview = text("docs/how_it_works.md")
    places = [overview.index(f"| {n} |") for n in STAGES]
    assert places == sorted(places)


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:", "mailto:")):
                assert (file.parent / target).exists(), f"{file.name} links to {target}"


def readme_commands() -> list[str]:
    """Lines of the README's shell blocks that call headrace or make."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text("README.md"), flags=re.S)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.startswith(("headrace ", "make "))]


def test_the_readme_shows_the_two_commands_first() -> None:
    first = text("README.md")[:2500]
    assert "make demo" in first
    assert "make test" in first
    makefile = text("Makefile")
    for command in readme_commands():
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile, command


def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """Every `headrace` line of the README, in order, in one empty folder with the files that it names."""
    stay = ("serve", "ui")
    commands = [c for c in readme_commands() if c.startswith("headrace ") and c.split()[1] not in stay]
    assert len(commands) >= 5
    prepare(tmp_path)
    headrace = Path(sys.executable).with_name("headrace")
    for command in commands:
        arguments = command.split()[1:]
        done = subprocess.run(
            [headrace, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def steps(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page, in order: ("yaml", a part of the spec) or ("sh", one command line)."""
    found = []
    for kind, block in re.findall(r"```(sh|yaml)\n(.*?)```", page, flags=re.S):
        found += [(kind, block)] if kind == "yaml" else [(kind, line) for line in block.splitlines()]
    return found


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {k: merge(old[k], v) for k, v in new.items() if isinstance(v, dict) and k in old}
    return {**old, **new, **both}


def test_the_walk_through_holds(tmp_path: Path) -> None:
    """Every step of docs/your_data.md in order: commands end with the exit code that they say."""
    prepare(tmp_path)
    headrace = str(Path(sys.executable).with_name("headrace"))
    spec = tmp_path / "churn" / "headrace.yaml"
    environment = {**os.environ, "HEADRACE_USER": "ana@example.com"}
    release = ""
    server: subprocess.Popen[str] | None = None
    for kind, step in steps(text("docs/your_data.md")):
        if kind == "yaml":
            merged = merge(yaml.safe_load(spec.read_text()), yaml.safe_load(step))
            spec.write_text(yaml.safe_dump(merged, sort_keys=False))
            continue
        arguments = [release if a == "3f2a" else a for a in shlex.split(step, comments=True)]
        if arguments[:2] == ["headrace", "serve"]:
            free = [headrace, *(a.replace("8000", "0") for a in arguments[1:])]
            server = subprocess.Popen(free, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        elif arguments[0] == "curl":
            assert server is not None
            assert {"id", "prediction", "probability", "release", "by"} <= set(ask(server, arguments[-1]))
            server = None
        else:
            assert arguments[0] == "headrace", step
            code = re.search(r"# exit code (\d)", step)
            done = subprocess.run(
                [headrace, *arguments[1:]],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == int(code[1] if code else 0), f"{step}\n{done.stdout}\n{done.stderr}"
            named = re.search(r"^release: (\w+)", done.stdout, flags=re.M)
            release = named[1] if named else release


def ask(server: subprocess.Popen[str], row: str) -> dict[str, Any]:
    """Send one row to the server that just began, and stop it."""
    try:
        assert server.stderr is not None
        base = re.search(r"http://\S+", server.stderr.readline())
        assert base is not None
        with urllib.request.urlopen(f"{base[0]}/predict", row.encode(), timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    finally:
        server.terminate()
        server.communicate(timeout=30)


def prepare(folder: Path) -> None:
    """The files of a reader of the README: a table of customers, and new ones to score."""
    import csv
    import random

    draw = random.Random(0)
    names = ["customer_id", "plan", "months", "calls", "spend", "churned"]
    rows = []
    for i in range(4_000):
        months, calls = draw.randint(1, 60), draw.randint(0, 9)
        plan = draw.choice(["basic", "plus", "pro"])
        risk = 0.1 + 0.07 * calls - 0.004 * months + (0.15 if plan == "basic" else 0)
        spend = round(draw.gauss(30, 8), 2)
        rows.append([f"c{i}", plan, months, calls, spend, "yes" if draw.random() < risk else "no"])
    for file, part in (("customers.csv", rows[:3_500]), ("new.csv", rows[3_500:])):
        with (folder / file).open("w", newline="", encoding="utf-8") as f:
            csv.writer(f).writerows([names, *part])
