"""People in the loop of a project: the queue, decisions, and rows that are asked about."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.clock import duration_micros, micros
from headrace.core.errors import UserError
from headrace.core.places import REVIEWS, STORE_DIR
from headrace.core.review import TRAFFIC, Label
from headrace.engine.context import Progress, silent
from headrace.project.logging import Logging

if TYPE_CHECKING:
    from headrace.serve.reviewing import Room
    from headrace.stores.reviews import SqliteReviews

_PAGE = 500


class Reviewing(Logging):
    """What people look at, and what they said."""

    def reviews(self) -> SqliteReviews:
        """The project's review queue. Its file is made when the first item is sent."""
        from headrace.stores.reviews import SqliteReviews

        return SqliteReviews(self.root / STORE_DIR / REVIEWS)

    def review_room(self) -> Room:
        """The queue, and the labels that decisions become: what `serve.reviewing` works with."""
        from headrace.serve.reviewing import Room

        book = self._book()
        return Room(self.reviews(), lambda rows: book.take(list(rows), reviewed=True), self._clock)

    def review_next(
        self,
        *,
        by: str | None = None,
        name: str | None = None,
        source: str | None = None,
        lease: str = "15 min",
    ) -> dict[str, Any] | None:
        """Take the item that is due first, or the named one; None where nothing is there.

        Raises:
            DataError: the named item is not there, or others hold it.
        """
        from headrace.serve.reviewing import take

        asked = {"id": name, "source": source, "lease": lease}
        found: dict[str, Any] | None = take(self.review_room(), by or self.actor, asked)["item"]
        return found

    def review_decide(
        self, name: str, decision: Label, *, by: str | None = None, comment: str = ""
    ) -> dict[str, Any]:
        """Decide an item.

        Raises:
            DataError: it is not there, settled or held by others, or this is none of its choices.
        """
        from headrace.serve.reviewing import decide

        asked = {"id": name, "decision": decision, "comment": comment}
        found: dict[str, Any] = decide(self.review_room(), by or self.actor, asked)["item"]
        return found

    def review_list(
        self, *, state: str | None = None, source: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Items in the order in which they came.

        Raises:
            DataError: there is no such state.
        """
        from headrace.serve.reviewing import listed

        asked = {"state": state, "source": source, "limit": limit}
        found: list[dict[str, Any]] = listed(self.review_room(), self.actor, asked)["items"]
        return found

    def review_status(self, *, source: str = TRAFFIC) -> dict[str, Any]:
        """The queue in numbers, and the champion's plan as `plan` (None: it has none); what was settled since
        the last time goes to the ledger."""
        from headrace.core.codec import to_plain
        from headrace.serve.reviewing import settle, status

        room = self.review_room()
        settle(room, self.store, actor=self.actor)
        champion = self.releases().champion
        plan = None if champion is None else self.release(champion.release)[1].review
        return status(room, self.actor, {"source": source}) | {"plan": to_plain(plan)}

    def review_ask(
        self,
        run: str | None = None,
        *,
        uncertain: int | None = None,
        sample: int | None = None,
        where: str = "",
        part: str = "validation",
        deadline: str | None = None,
        double: bool = False,
        progress: Progress = silent,
    ) -> list[str]:
        """Ask people about rows of a run (default: the newest): the least certain, a sample, all that meet a
        condition, or the least certain or a sample of these. Returns the ids of the items; rows that were
        asked about before are not asked again.

        Raises:
            UserError: both uncertain and sample are wanted, or nothing; no row is there; the test rows.
            NotFound: there is no such run, or what it made is no longer kept.
        """
        if uncertain is not None and sample is not None:
            raise UserError("the least certain, or a sample", fix="ask twice: known rows stay as they are")
        if uncertain is None and sample is None and not where:
            raise UserError("which rows?", fix="--uncertain 100, --sample 100 or --slice \"origin = 'JFK'\"")
        from headrace.engine.needs import require_training

        require_training()
        from headrace.core.spec import ParsedSpec, Spec
        from headrace.engine.ask_people import Choice, items_of
        from headrace.engine.context import Context
        from headrace.engine.pins import output_of

        view = self.show(run)
        stages = ("ingest", "split", "features", "learn", "package")
        made = {stage: output_of(self.store, view, stage) for stage in stages}
        spec = Spec.model_validate_json(self.store.get(view.spec).read_bytes())
        ctx = Context(self.root, self.store, ParsedSpec(spec), self._clock, self.actor, view.run, progress)
        most = uncertain if uncertain is not None else sample
        now = micros(self._clock())
        due = now + duration_micros(deadline) if deadline else 0
        choice = Choice(most, uncertain is not None, where, part)
        items = items_of(ctx, made, choice, asked=now, deadline=due, double=double)
        self.reviews().put(items)
        return [i.id for i in items]

    def review_export(self, file: str | Path, *, source: str | None = None) -> int:
        """Write what was decided to a CSV or JSON-lines file: id, decision, weight, what was answered, who
        decided, and the inputs as `input_NAME`. Returns how many rows.

        Raises:
            UserError: the file has another ending, or can't be written.
        """
        return write_rows(file, lambda: self._decided(source), "decisions", ["id", "label", "weight"])

    def _decided(self, source: str | None) -> list[dict[str, Any]]:
        from headrace.core.review import State

        reviews, after, found = self.reviews(), 0, []
        while page := reviews.items(state=State.DECIDED, source=source, after=after, limit=_PAGE):
            after = page[-1][0]
            for _, made in page:
                item = made.item
                row = {"id": item.id, "label": made.decision, "weight": 1.0 / item.chance}
                row |= {"answered": item.answer.get("prediction"), "why": item.why, "source": item.source}
                row |= {"reviewers": " ".join(s.reviewer for s in made.said), "agreed": made.agreed}
                found.append(row | {f"input_{n}": v for n, v in item.inputs.items()})
        return found


def write_rows(
    file: str | Path, make: Callable[[], Sequence[Mapping[str, Any]]], what: str, least: Sequence[str]
) -> int:
    """Write rows to a CSV or JSON-lines file. `make` is asked for them when the file's name is known to be
    good. least: the columns of a CSV file without rows. Returns how many there are.

    Raises:
        UserError: the file has another ending, or can't be written.
    """
    path = Path(file)
    if path.suffix not in (".csv", ".jsonl"):
        raise UserError(f"{path.name} is neither .csv nor .jsonl", fix="name the file so")
    rows = make()
    try:
        with path.open("w", newline="", encoding="utf-8") as out:
            if path.suffix == ".csv":
                names = list(dict.fromkeys(n for row in rows for n in row)) or least
                writer = csv.DictWriter(out, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
            else:
                out.writelines(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"the {what} can't be written", where=str(path), why=why) from error
    return len(rows)
