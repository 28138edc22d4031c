"""`python -m headrace.engine.rerun FOLDER RUN MOMENT`: do a recorded run again, in this very interpreter.

`engine.reproduce` prepares the folder (spec, code, a store that holds the run's snapshots and waivers and
nothing else) and reads what this writes: one JSON line for each step of progress on standard output, and
the result as `rerun.json` in the folder. The clock stands at MOMENT: what had not expired then has not now.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from headrace.core.codec import to_json
from headrace.core.errors import HeadraceError
from headrace.core.spec import FILE_NAME, parse_spec
from headrace.core.views import RUN_KINDS, runs
from headrace.engine.check import check
from headrace.engine.context import Context
from headrace.engine.pins import snapshots_of_run
from headrace.engine.result import RunResult, not_begun
from headrace.engine.run import execute
from headrace.stores import EmbeddedStore

LAST = "evaluate"
"""The last stage that is run again: the seal is not opened for a reproduction."""


def main(folder: Path, run: str, moment: str) -> None:
    """Run again and write `rerun.json`."""
    started = datetime.fromisoformat(moment)
    store = EmbeddedStore(folder / ".headrace")
    try:
        result = _execute(folder, store, run, started)
    except HeadraceError as error:
        result = not_begun(error)
    (folder / "rerun.json").write_bytes(to_json(result.plain()))


def _execute(folder: Path, store: EmbeddedStore, run: str, started: datetime) -> RunResult:
    parsed = parse_spec((folder / FILE_NAME).read_text(encoding="utf-8"))
    view = runs(store.read(kinds=RUN_KINDS))[run]
    pinned = snapshots_of_run(store, view)
    check(parsed, folder, pinned)
    ctx = Context(folder, store, parsed, lambda: started, "reproduction", "", _tell, pinned)
    return execute(ctx, until=LAST)


def _tell(stage: str, text: str, done: int, total: int) -> None:
    sys.stdout.write(to_json([stage, text, done, total]).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
