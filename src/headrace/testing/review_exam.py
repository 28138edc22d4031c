# ruff: noqa: S101 - an exam asserts
"""The exam of the `ReviewQueue` port: its whole contract, as tests that another queue subclasses.

    class TestMyReviews(ReviewQueueExam):
        @staticmethod
        def make_queue(place: Path) -> ReviewQueue:
            return MyReviews(place)

The exam hands `make_queue` to processes that it spawns and kills: the subclass is at the top level of a
module.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import DataError
from headrace.core.ports import ReviewQueue
from headrace.core.review import Period, State
from headrace.testing.review_processes import (
    DAY,
    LEASE,
    NOW,
    day,
    in_processes,
    item,
    killed,
    review,
    send,
)


class ReviewQueueExam:
    """Subclass it and give `make_queue`; pytest does the rest."""

    @staticmethod
    def make_queue(place: Path) -> ReviewQueue:
        """Open the queue kept at `place`, a path nobody else uses. The same place is the same queue."""
        raise NotImplementedError

    def test_a_queue_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        assert queue.take("ann", now=NOW, lease=LEASE) is None
        assert queue.get("p1") is None
        assert queue.items() == []
        assert queue.settled() == []
        assert queue.expire(now=NOW) == 0
        assert queue.counts(now=NOW).open == 0
        assert queue.load(day(5), now=NOW).sent == 0
        assert queue.put([]) == frozenset()
        with pytest.raises(DataError, match="no item 'p1'"):
            queue.take("ann", now=NOW, lease=LEASE, name="p1")

    def test_an_item_is_kept_as_it_was_sent(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        sent = item(1, chance=0.05, wanted=2, stands="none", source="rows: run-1")
        assert queue.put([sent]) == frozenset()
        found = self.make_queue(tmp_path / "q").get("p1")
        assert found is not None
        assert found.item == sent
        assert (found.state, found.decision, found.said, found.remarks) == (State.OPEN, None, (), ())

    def test_what_is_sent_twice_is_there_once(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1), item(1)], period=day(5))
        queue.put([item(1, why="another")], period=day(5))
        assert [i.item.why for _, i in queue.items()] == [item(1).why]
        assert queue.load(day(5), now=NOW).sent == 1

    def test_what_is_due_first_comes_first_and_to_one_alone(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1), item(2, deadline=NOW + 9), item(3, deadline=0)])
        took = [queue.take(who, now=NOW, lease=LEASE) for who in ("ann", "bob", "cid", "dan")]
        assert [t.item.id if t else None for t in took] == ["p2", "p1", "p3", None]

    def test_a_lease_ends(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1)])
        first = queue.take("ann", now=NOW, lease=LEASE)
        assert first is not None
        assert first.said[0].until == NOW + LEASE
        assert queue.take("bob", now=NOW + LEASE - 1, lease=LEASE) is None
        with pytest.raises(DataError, match="held by somebody else"):
            queue.decide("p1", "bob", True, now=NOW + LEASE - 1)
        assert queue.take("bob", now=NOW + LEASE, lease=LEASE) is not None
        with pytest.raises(DataError, match="held by somebody else"):
            queue.decide("p1", "ann", True, now=NOW + LEASE)
        assert queue.decide("p1", "bob", True, now=NOW + LEASE).decision is True

    def test_a_lease_never_outlasts_the_deadline_and_is_made_longer(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1)])
        queue.take("ann", now=NOW, lease=LEASE)
        again = queue.take("ann", now=NOW + 5, lease=3 * DAY, name="p1")
        assert again is not None
        assert [s.until for s in again.said] == [item(1).deadline]
        assert queue.decide("p1", "ann", False, now=NOW + 2 * LEASE).state is State.DECIDED

    def test_a_decision_settles(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1)])
        made = queue.decide("p1", "ann", "False", now=NOW + 7, comment=" a storm ")
        assert (made.state, made.decision, made.settled) == (State.DECIDED, False, NOW + 7)
        assert [(s.reviewer, s.decision, s.at) for s in made.said] == [("ann", False, NOW + 7)]
        assert [(r.reviewer, r.text) for r in made.remarks] == [("ann", "a storm")]
        for who in ("ann", "bob"):
            with pytest.raises(DataError, match="was decided"):
                queue.decide("p1", who, True, now=NOW + 8)
        assert queue.take("bob", now=NOW + 8, lease=LEASE) is None
        assert queue.get("p1") == made

    @pytest.mark.parametrize("decision", ["maybe", 2, 1, 0.5, "", True])
    def test_a_decision_is_one_of_the_choices(self, tmp_path: Path, decision: Any) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, choices=("late", "early"))])
        with pytest.raises(DataError, match="no answer") as told:
            queue.decide("p1", "ann", decision, now=NOW)
        assert "late or early" in str(told.value)
        found = queue.get("p1")
        assert found is not None
        assert (found.state, found.said) == (State.OPEN, ())

    @pytest.mark.parametrize("decision", ["a", "", "nan", "inf", True, float("nan")])
    def test_where_there_are_no_choices_a_number_is_decided(self, tmp_path: Path, decision: Any) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, choices=()), item(2, choices=())])
        with pytest.raises(DataError, match="is no number"):
            queue.decide("p1", "ann", decision, now=NOW)
        assert queue.decide("p1", "ann", "12.5", now=NOW).decision == 12.5
        assert queue.decide("p2", "ann", 3, now=NOW).decision == 3.0

    def test_two_decide_and_agree(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, wanted=2)])
        assert queue.decide("p1", "ann", True, now=NOW + 1).state is State.OPEN
        assert queue.take("ann", now=NOW + 2, lease=LEASE) is None
        with pytest.raises(DataError, match="has decided p1 already"):
            queue.decide("p1", "ann", False, now=NOW + 2)
        made = queue.decide("p1", "bob", True, now=NOW + 3)
        assert (made.state, made.decision, made.agreed) == (State.DECIDED, True, True)

    def test_where_two_differ_a_third_decides(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, wanted=2, choices=("a", "b", "c"))])
        queue.decide("p1", "ann", "a", now=NOW + 1)
        made = queue.decide("p1", "bob", "b", now=NOW + 2)
        assert (made.state, made.agreed) == (State.OPEN, False)
        third = queue.take("cid", now=NOW + 3, lease=LEASE)
        assert third is not None
        made = queue.decide("p1", "cid", "c", now=NOW + 4)
        assert (made.state, made.decision, made.agreed) == (State.DECIDED, "c", False)
        assert [s.reviewer for s in made.said] == ["ann", "bob", "cid"]

    def test_two_seats_are_two_people(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, wanted=2)])
        assert queue.take("ann", now=NOW, lease=LEASE) is not None
        assert queue.take("ann", now=NOW, lease=LEASE) is None
        assert queue.take("bob", now=NOW, lease=LEASE) is not None
        assert queue.take("cid", now=NOW, lease=LEASE) is None

    def test_what_is_handed_back_is_for_others(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1)])
        queue.take("ann", now=NOW, lease=LEASE)
        with pytest.raises(DataError, match="bob holds no seat"):
            queue.give_back("p1", "bob", now=NOW)
        queue.give_back("p1", "ann", now=NOW)
        assert queue.take("bob", now=NOW, lease=LEASE) is not None
        with pytest.raises(DataError, match="ann holds no seat"):
            queue.give_back("p1", "ann", now=NOW)

    def test_a_deadline_passes(self, tmp_path: Path) -> None:
        """Without a decision the item expires; with one of two it counts; two that differ decide nothing."""
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n, deadline=NOW + 100, wanted=2) for n in range(3)])
        queue.take("ann", now=NOW, lease=LEASE)
        queue.decide("p1", "ann", False, now=NOW + 1)
        queue.decide("p2", "ann", False, now=NOW + 1)
        queue.decide("p2", "bob", True, now=NOW + 1)
        counts = queue.counts(now=NOW + 100)
        assert (counts.open, counts.decided, counts.expired) == (0, 1, 2)
        assert queue.expire(now=NOW + 99) == 0
        assert queue.expire(now=NOW + 100) == 2
        states = {i.item.id: (i.state, i.decision, i.settled) for _, i in queue.items()}
        assert states["p0"] == states["p2"] == (State.EXPIRED, None, NOW + 100)
        assert states["p1"] == (State.DECIDED, False, NOW + 100)
        assert queue.counts(now=NOW + 100) == counts
        with pytest.raises(DataError, match=r"expired[^§]*the model's answer stands"):
            queue.decide("p0", "ann", True, now=NOW + 101)
        assert queue.expire(now=NOW + 200) == 0

    def test_deadlines_hold_without_anybody_looking(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, deadline=NOW + 5)])
        with pytest.raises(DataError, match="expired"):
            queue.decide("p1", "ann", True, now=NOW + 5)
        assert queue.take("ann", now=NOW + 5, lease=LEASE) is None

    def test_comments_are_kept_whatever_the_state(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1)])
        queue.comment("p1", "ann", "see the map", now=NOW)
        queue.decide("p1", "bob", True, now=NOW + 1)
        told = queue.comment("p1", "cid", "it was so", now=NOW + 2)
        assert [(r.reviewer, r.text, r.at) for r in told.remarks] == [
            ("ann", "see the map", NOW),
            ("cid", "it was so", NOW + 2),
        ]
        with pytest.raises(DataError, match="no item"):
            queue.comment("p9", "ann", "?", now=NOW)

    def test_what_was_settled_is_collected_once(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n) for n in range(4)])
        for n in (2, 0):
            queue.decide(f"p{n}", "ann", True, now=NOW + 10 - n)
        assert [i.item.id for i in queue.settled()] == ["p2", "p0"]
        assert [i.item.id for i in queue.settled(limit=1)] == ["p2"]
        queue.collected(["p2", "p1"])
        queue.decide("p1", "ann", True, now=NOW + 20)
        assert [i.item.id for i in queue.settled()] == ["p0", "p1"]

    def test_lists_go_on_where_they_ended(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n, source="rows" if n % 2 else "traffic") for n in range(7)])
        queue.decide("p3", "ann", True, now=NOW + 9)
        first = queue.items(limit=4)
        rest = queue.items(after=first[-1][0], limit=4)
        assert [i.item.id for _, i in [*first, *rest]] == [f"p{n}" for n in range(7)]
        assert [i.item.id for _, i in queue.items(source="rows")] == ["p1", "p3", "p5"]
        assert [i.item.id for _, i in queue.items(state=State.DECIDED)] == ["p3"]
        found = queue.take("bob", now=NOW + 9, lease=LEASE, source="rows")
        assert found is not None
        assert found.item.id == "p1"

    def test_counts(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n, deadline=NOW + 50 if n == 5 else 0) for n in range(6)])
        queue.decide("p0", "ann", True, now=NOW + 6)
        queue.decide("p1", "ann", True, now=NOW + 6)
        queue.decide("p2", "bob", True, now=NOW + 6)
        queue.take("bob", now=NOW + 6, lease=LEASE, name="p3")
        told = queue.counts(now=NOW + 7)
        assert (told.open, told.taken, told.decided, told.expired) == (3, 1, 3, 0)
        assert told.reviewers == {"ann": 2, "bob": 1}
        assert told.oldest == item(3).asked
        later = queue.counts(now=NOW + 6 + LEASE)
        assert (later.open, later.taken, later.expired) == (2, 0, 1)
        assert queue.counts(now=NOW, source="elsewhere").open == 0

    def test_capacity_is_held(self, tmp_path: Path) -> None:
        """By what was sent in the period, and by what is open."""
        queue = self.make_queue(tmp_path / "q")
        over = queue.put([item(n) for n in range(7)], period=day(5))
        assert over == {"p5", "p6"}
        assert queue.put([item(9)], period=day(5)) == {"p9"}
        told = queue.load(day(5), now=NOW)
        assert (told.sent, told.refused, told.open) == (5, 3, 5)
        tomorrow = Period(NOW + DAY, NOW + 2 * DAY, 5)
        late = item(10, asked=NOW + DAY - 10)
        assert queue.put([late], period=tomorrow) == {"p10"}  # the backlog fills it
        queue.decide("p0", "ann", True, now=NOW + 10)
        assert queue.put([late], period=tomorrow) == frozenset()
        assert queue.put([item(11)], period=day(5)) == {"p11"}  # the day is spent, whatever was decided

    def test_two_seats_take_twice_the_capacity(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        assert queue.put([item(n, wanted=2) for n in range(3)], period=day(5)) == {"p2"}
        assert queue.put([item(4)], period=day(5)) == frozenset()
        assert queue.load(day(5), now=NOW).open == 5

    def test_what_expired_waits_no_more(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(1, deadline=NOW + 5)], period=day(1))
        later = Period(NOW + DAY, NOW + 2 * DAY, 1)
        assert queue.load(later, now=NOW + 6).open == 0
        assert queue.put([item(2, asked=NOW + DAY)], period=later) == frozenset()

    def test_rows_that_are_asked_about_take_no_capacity(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n, source="rows: run-1") for n in range(9)])
        assert queue.put([item(20)], period=day(1)) == frozenset()
        assert queue.load(day(1), now=NOW).open == 1

    def test_processes_tell_how_much_they_see(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        assert queue.load(day(1), now=NOW, holder="a", rate=2.0).rate == 2.0
        assert queue.load(day(1), now=NOW + 1, holder="b", rate=3.0).rate == 5.0
        assert queue.load(day(1), now=NOW + 2, holder="a", rate=1.0).rate == 4.0
        assert queue.load(day(1), now=NOW + 31_000_000).rate == 0.0

    def test_what_was_not_even_sent_is_counted(self, tmp_path: Path) -> None:
        queue = self.make_queue(tmp_path / "q")
        queue.put([item(n) for n in range(3)], period=day(2))
        assert queue.load(day(2), now=NOW, holder="a", missed=4).refused == 5
        told = queue.counts(now=NOW)
        assert (told.sent, told.refused) == (2, 5)
        assert queue.counts(now=NOW, source="rows: run-1").sent == 0

    def test_somebody_is_forgotten(self, tmp_path: Path) -> None:
        """With all that was said; the others stay, and nothing is found in any file."""
        place = tmp_path / "q"
        queue = self.make_queue(place)
        assert queue.erase("who", ["x"]) == 0
        secrets = {n: f"somebody-{n}-secret" for n in range(3)}
        queue.put([item(n, inputs={"who": s, "age": n + 40.0}) for n, s in secrets.items()])
        queue.put([item(9, inputs={"other": secrets[1]})])
        queue.decide("p1", "ann", True, now=NOW + 10, comment="remarkable-words")
        queue.comment("p0", "ann", "words that stay", now=NOW)
        assert queue.erase("who", [secrets[1], "nobody"]) == 1
        assert queue.get("p1") is None
        assert queue.settled() == []
        assert {i.item.id for _, i in queue.items()} == {"p0", "p2", "p9"}
        assert queue.counts(now=NOW).reviewers == {}
        assert queue.erase("age", ["42", "None", "null"]) == 1
        queue.put([item(10, inputs={"age": None, "sure": True})])
        assert queue.erase("age", ["None", "null"]) == 0
        assert queue.erase("sure", ["true"]) == 1
        kept = b"".join(f.read_bytes() for f in place.rglob("*") if f.is_file())
        assert b"remarkable-words" not in kept
        assert secrets[2].encode() not in kept
        assert b"words that stay" in kept

    def test_threads_share_a_queue(self, tmp_path: Path) -> None:
        """Every item is taken by one of them, and the capacity is held."""
        queue = self.make_queue(tmp_path / "q")

        def send(which: int) -> int:
            mine = [item(100 * which + n) for n in range(30)]
            return sum(len(queue.put([i], period=day(60))) for i in mine)

        with ThreadPoolExecutor(4) as pool:
            refused = list(pool.map(send, range(4)))
        assert sum(refused) == 60
        assert queue.load(day(60), now=NOW).open == 60

        def work(who: str) -> list[str]:
            done = []
            while (found := queue.take(who, now=NOW, lease=LEASE)) is not None:
                queue.decide(found.item.id, who, True, now=NOW)
                done.append(found.item.id)
            return done

        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(work, ["ann", "bob", "cid", "dan"]))
        counted = Counter(i for some in told for i in some)
        assert len(counted) == 60
        assert set(counted.values()) == {1}

    def test_processes_share_a_queue_from_its_first_moment(self, tmp_path: Path) -> None:
        """Three processes send to a queue that is not there yet: no more than fits is kept, and what each was
        told is true."""
        place = tmp_path / "q"
        told = in_processes(send, self.make_queue, place, 3)
        queue = self.make_queue(place)
        kept = {i.item.id for _, i in queue.items(limit=1000)}
        assert len(kept) == 50
        assert set.union(*told) == kept

    def test_reviewers_in_processes_never_get_the_same_item(self, tmp_path: Path) -> None:
        place = tmp_path / "q"
        self.make_queue(place).put([item(n) for n in range(40)])
        told = in_processes(review, self.make_queue, place, 3)
        assert sum(map(len, told)) == 40
        assert len(set.union(*told)) == 40

    def test_what_was_acknowledged_survives_a_kill(self, tmp_path: Path) -> None:
        place = tmp_path / "q"
        for round_ in range(3):
            told = killed(self.make_queue, place, round_)
            queue = self.make_queue(place)
            kept = {i.item.id for _, i in queue.items(limit=100_000)}
            assert told
            assert set(told) <= kept
