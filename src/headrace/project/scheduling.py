"""Batches on a schedule: set once, run when due by whatever calls, each moment once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.core.clock import iso
from headrace.core.errors import HeadraceError, NotFound, UserError, did_you_mean
from headrace.core.event import Draft
from headrace.core.places import SERVING
from headrace.core.schedules import SCHEDULE_KINDS, Schedule, dated, filled, schedules
from headrace.engine.context import Progress, silent
from headrace.project.base import STORE_DIR
from headrace.project.batching import Batching

if TYPE_CHECKING:
    from headrace.serve.batch.run import Batch


class Scheduling(Batching):
    """The schedules of a `Project`."""

    def schedules(self) -> dict[str, Schedule]:
        """Every schedule by its name."""
        return schedules(self.store.read(kinds=SCHEDULE_KINDS))

    def set_schedule(
        self,
        name: str,
        cron: str,
        source: str,
        output: str,
        *,
        zone: str = "UTC",
        every: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Schedule:
        """Put a batch on a schedule, in place of one of that name. See `core.schedules.Schedule`.

        Raises:
            UserError: the cron expression or zone is none, or the output would be the same every time.
        """
        from croniter import croniter

        if not name.isidentifier():
            raise UserError(f"{name!r} is no name", fix="use letters, digits and _")
        if len(cron.split()) != 5 or not croniter.is_valid(cron):
            raise UserError(
                f"{cron!r} is no cron expression",
                fix="write five fields, such as '0 2 * * *': at two every night",
            )
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise UserError(f"there is no zone {zone!r}", fix="write one such as Europe/Berlin") from None
        if not dated(output):
            raise UserError(
                "every run would write to the same folder",
                where=output,
                fix=f"write {output.rstrip('/')}/{{due}}",
            )
        payload = {
            "cron": cron,
            "zone": zone,
            "source": source,
            "output": output,
            "every": every,
            "options": dict(options or {}),
        }
        self.store.append([Draft("schedule.set", name, iso(self._clock()), self.actor, payload)])
        return self.schedules()[name]

    def remove_schedule(self, name: str) -> Schedule:
        """Take a schedule away.

        Raises:
            NotFound: there is none of that name.
        """
        found = self._schedule(name)
        self.store.append([Draft("schedule.removed", name, iso(self._clock()), self.actor, {})])
        return found

    def run_schedules(
        self, names: Sequence[str] = (), *, progress: Progress = silent
    ) -> list[tuple[str, str, Batch]]:
        """Run what is due, of these schedules (default: all): name, moment and batch of each. May be called
        at any time and by several processes at once: a moment is run by one of them, and what was killed is
        gone on with by the next.

        Raises:
            HeadraceError: a batch failed; the others were run first, and it is tried again by the next call.
        """
        from headrace.serve.batch.state import Busy

        wanted = names or tuple(self.schedules())
        done: list[tuple[str, str, Batch]] = []
        failed: list[HeadraceError] = []
        for name in wanted:
            self._schedule(name)
            try:
                done += self._run_schedule(name, progress)
            except Busy:
                continue  # another process is at it
            except HeadraceError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return done

    def _run_schedule(self, name: str, progress: Progress) -> list[tuple[str, str, Batch]]:
        from headrace.serve.batch.state import locked, read_state

        place = self.root / STORE_DIR / SERVING / f"schedule-{name}"
        place.mkdir(parents=True, exist_ok=True)
        done = []
        with locked(place):
            schedule = self._schedule(name)  # as the one who held the lock before left it
            for moment in schedule.due(self._clock()):
                output = self.root / filled(schedule.output, moment)
                begun = read_state(output)
                # Who became champion since a batch was begun does not go on with it.
                release = begun.plan.release if begun else schedule.options.get("release")
                options = {**schedule.options, "release": release, "to": self._table(schedule.options)}
                batch = self.score(
                    self._placed(filled(schedule.source, moment)),
                    output,
                    progress=progress,
                    **options,
                )
                due = iso(moment)
                payload = {"due": due, "batch": batch.id, "rows": batch.rows, "output": batch.output}
                self.store.append([Draft("schedule.ran", name, iso(self._clock()), self.actor, payload)])
                done.append((name, due, batch))
                schedule = replace(schedule, ran=due)
        return done

    def _placed(self, source: str) -> str:
        """A source below the project's folder, wherever this is called; databases as they are."""
        return source if source.startswith("$") or "://" in source else str(self.root / source)

    def _table(self, options: Mapping[str, Any]) -> str:
        """Where answers go, a file of DuckDB below the project's folder too."""
        to: str = options.get("to", "")
        return f"duckdb:{self.root / to.removeprefix('duckdb:')}" if to.startswith("duckdb:") else to

    def _schedule(self, name: str) -> Schedule:
        known = self.schedules()
        if name not in known:
            raise NotFound(f"there is no schedule {name!r}", fix=did_you_mean(name, list(known)))
        return known[name]
