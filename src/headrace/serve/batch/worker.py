"""A process that scores parts of a batch: told them line by line, until nothing comes any more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from headrace.core.codec import from_json, from_plain, to_plain
from headrace.core.errors import HeadraceError
from headrace.release.manifest import Manifest
from headrace.serve.batch.part import score_part
from headrace.serve.batch.plan import Part
from headrace.serve.batch.rows import Scoring
from headrace.stores.embedded import EmbeddedStore


def main() -> None:
    """What to score with comes in the first line, then a part a line. Answered with `{"rows": …}` on the way,
    then `{"done": …}`, or with `{"problems": …}`: then nothing more is taken."""
    line = sys.stdin.readline()
    if not line:
        return
    told = json.loads(line)
    try:
        store = EmbeddedStore(Path(told["store"]))
        manifest = from_json(store.get(told["manifest"]).read_bytes(), Manifest)
        scoring = Scoring(store, manifest, told["release"], explain=told["explain"])
        for line in sys.stdin:
            part = from_plain(json.loads(line), Part)
            done = score_part(
                scoring,
                Path(told["root"]),
                part,
                Path(told["folder"]),
                told["ending"],
                keep=told["keep"],
                told=lambda rows: _say({"rows": rows}),
            )
            _say({"done": to_plain(done)})
    except HeadraceError as error:
        _say({"problems": [to_plain(p) for p in error.problems], "kind": type(error).__name__})
    except BrokenPipeError:
        sys.exit(1)  # who asked is gone


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
