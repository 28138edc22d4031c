"""The soak in full: ten minutes of load on a server to which everything happens (tests/serve/soak.py).

Ends with exit code 1 where something did not hold. `--short` is the form that the tests run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"


def main() -> int:
    """Make a project, soak, print the table."""
    if sys.platform != "linux":
        print("soak: left out: it looks at processes in /proc, which Linux alone has")
        return 0
    sys.path[:0] = [str(TESTS), str(TESTS / "serve")]
    from soak import LONG, SHORT, soak
    from soak_checks import broken, table

    form = SHORT if "--short" in sys.argv[1:] else LONG
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="headrace-soak-") as made:
        checks = soak(Path(made) / "project", form, say)
    print(f"\n{table(checks)}")
    failed = broken(checks)
    print(f"\n{f'{len(failed)} did not hold' if failed else 'all of it holds'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
