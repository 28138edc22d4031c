"""`headrace ui`: the real command in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
from pathlib import Path

from click.testing import CliRunner
from served import HEADRACE, LONG, wait_until

from headrace.cli.root import cli
from headrace.project import Project


def test_it_shows_pages_and_ends_when_it_is_told_to(finished: Project, tmp_path: Path) -> None:
    log = tmp_path / "ui.log"
    with log.open("wb") as told:
        process = subprocess.Popen(
            [HEADRACE, "ui", "-C", str(finished.root), "--port", "0"],
            stdout=told,
            stderr=told,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        wait_until(lambda: "/ui\n" in log.read_text() or process.poll() is not None, 2 * LONG)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/ui\n", log.read_text())
        assert found is not None, log.read_text()
        for path, status in (("/", 303), ("/ui", 200), ("/ui/runs.json", 200), ("/elsewhere", 404)):
            line = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=LONG)
            with contextlib.closing(line):
                line.request("GET", path)
                answer = line.getresponse()
                answer.read()
                assert answer.status == status, path
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0, log.read_text()
    finally:
        process.kill()
        process.wait(LONG)


def test_without_a_token_it_stays_on_this_machine(finished: Project) -> None:
    done = CliRunner().invoke(cli, ["ui", "-C", str(finished.root), "--host", "0.0.0.0", "--port", "0"])
    assert done.exit_code == 2
    assert "headrace token create" in done.output
