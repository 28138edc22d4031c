"""The seal: every look at test rows is written down first, numbered over the rows, and paid for."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from headrace.core.errors import Conflict, DataError, NotFound
from headrace.core.evidence import Interval
from headrace.data.seal import make_seal, open_seal, openings, record_judgement, seal_id, share_a_row
from headrace.metrics.seal import opening_level
from headrace.stores.embedded import EmbeddedStore

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
TIME = "2026-11-21T08:00:00.000000Z"


@pytest.fixture
def store(tmp_path):
    return EmbeddedStore(tmp_path / ".headrace")


def ids(start, stop):
    """Names of rows: spread over 64 bits, as real ones are."""
    return np.arange(start, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def make(store, rows):
    return make_seal(store, rows, actor="a@example.com", time=TIME, run="r1")


def opened(store, seal, candidate, **kwargs):
    return open_seal(store, seal, candidate, actor="a@example.com", clock=lambda: NOW, run="r1", **kwargs)


def test_the_same_rows_are_the_same_seal_made_once(store):
    first = make(store, ids(0, 100))
    again = make_seal(store, ids(0, 100)[::-1].repeat(2), actor="b@example.com", time="later", run="r2")
    assert first == again and first.rows == 100
    assert first.id == seal_id(ids(0, 100)) != make(store, ids(0, 99)).id
    assert len(list(store.read(kinds=["seal.made"]))) == 2
    kept = np.load(store.get(first.ids))
    assert np.array_equal(kept, np.unique(ids(0, 100)))


def test_a_seal_needs_rows(store):
    with pytest.raises(DataError, match="a seal needs at least one row"):
        make(store, ids(0, 0))


def test_openings_are_numbered_and_judged_at_their_level(store):
    seal = make(store, ids(0, 100))
    made = [opened(store, seal, f"candidate {k}") for k in range(5)]
    assert [o.number for o in made] == [1, 2, 3, 4, 5]
    assert [o.level for o in made] == [opening_level(0.05, k) for k in range(1, 6)]
    assert [o.shows_estimate for o in made] == [True, False, False, False, False]


def test_the_same_candidate_again_is_the_same_opening(store):
    seal = make(store, ids(0, 100))
    first = opened(store, seal, "one")
    opened(store, seal, "two")
    head = store.head()
    assert opened(store, seal, "one") == first and first.shows_estimate
    assert store.head() == head


def test_the_event_is_in_the_ledger_before_a_row_is_read(store):
    seal = make(store, ids(0, 100))
    opening = opened(store, seal, "one")
    (event,) = store.read(kinds=["seal.opened"], subject=seal.id)
    assert event.digest == opening.event
    assert dict(event.payload) == {
        "seal": seal.id,
        "candidate": "one",
        "number": 1,
        "level": opening_level(0.05, 1),
        "alpha": 0.05,
        "inherits": [],
        "unreadable": [],
        "run": "r1",
    }


def test_a_seal_that_shares_one_row_inherits_the_spending(store):
    old, apart = make(store, ids(0, 1000)), make(store, ids(5000, 5100))
    opened(store, old, "one")
    opened(store, old, "two")
    opened(store, apart, "one")
    new = make(store, ids(999, 4000))
    opening = opened(store, new, "three")
    assert (opening.number, opening.inherits, opening.shows_estimate) == (3, (old.id,), False)
    # and the other way round: the old seal inherits from the new one
    assert opened(store, old, "four").number == 4
    assert opened(store, apart, "two").number == 2


def test_sharing_is_direct(store):
    left, middle, right = make(store, ids(0, 10)), make(store, ids(5, 15)), make(store, ids(10, 20))
    assert opened(store, left, "one").number == 1
    assert opened(store, right, "two").number == 1
    assert opened(store, middle, "three").number == 3


def test_one_candidate_on_shifted_rows_spends_each_time(store):
    """Or an attacker would keep the candidate and try two hundred slightly different sets of rows."""
    numbers = [opened(store, make(store, ids(k, 100 + k)), "one").number for k in range(5)]
    assert numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("harm", ["gone", "changed", "cut"])
def test_an_earlier_seal_whose_rows_are_not_known_counts(store, harm):
    old = make(store, ids(0, 100))
    opened(store, old, "one")
    path = store.get(old.ids)
    data = path.read_bytes()
    path.chmod(0o644)
    path.unlink()
    if harm != "gone":
        path.write_bytes(data[:-1] + b"\x07" if harm == "changed" else data[:40])
    apart = make(store, ids(500, 600))
    opening = opened(store, apart, "two")
    assert (opening.number, opening.unreadable, opening.inherits) == (2, (old.id,), (old.id,))


def test_a_seal_that_lost_its_own_names_shares_with_all(store):
    old, new = make(store, ids(0, 100)), make(store, ids(500, 600))
    opened(store, old, "one")
    store.get(new.ids).unlink()
    assert opened(store, new, "two").number == 2
    assert make(store, ids(500, 600)) == new and store.has(new.ids)  # made again, the names are back


def test_a_seal_of_another_store_can_not_be_opened(store, tmp_path):
    seal = make(EmbeddedStore(tmp_path / "other"), ids(0, 10))
    with pytest.raises(NotFound, match=f"there is no seal {seal.id[:12]} in this store"):
        opened(store, seal, "one")


def test_an_opening_needs_a_candidate_and_a_level(store):
    seal = make(store, ids(0, 10))
    for candidate, alpha in (("", 0.05), ("one", 0.0), ("one", 1.0)):
        with pytest.raises(ValueError, match="an opening needs a candidate and an alpha between 0 and 1"):
            opened(store, seal, candidate, alpha=alpha)


def test_an_opening_covers_its_rows_and_no_others(store):
    opening = opened(store, make(store, ids(0, 100)), "one")
    assert opening.covers(ids(0, 100)[::-1])
    assert not opening.covers(ids(0, 99)) and not opening.covers(ids(0, 101))


def test_judgements_show_the_estimate_of_the_first_opening_only(store):
    seal = make(store, ids(0, 100))
    first, second = opened(store, seal, "one"), opened(store, seal, "two")
    lost = opened(store, seal, "three")
    end = {"value": 0.42, "interval": Interval(0.3, 0.5), "actor": "a@example.com", "time": TIME}
    for opening in (first, second):
        event = record_judgement(store, opening, outcome="pass", **end)
        assert record_judgement(store, opening, outcome="pass", **end) == event
    views = openings(store, seal.id)
    assert [(v.opening, v.outcome, v.value) for v in views] == [
        (first, "pass", 0.42),
        (second, "pass", None),
        (lost, "", None),
    ]
    assert views[0].interval == Interval(0.3, 0.5) and views[1].interval is None
    record_judgement(store, first, outcome="fail", **end)
    assert openings(store)[0].outcome == "fail"
    assert len(list(store.read(kinds=["seal.judged"]))) == 3


class _Racing:
    """The real store, with another writer who gets in before each of the first appends."""

    def __init__(self, store, rivals):
        self._store, self._rivals, self.conflicts = store, list(rivals), 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def append(self, drafts, *, expect=None):
        if self._rivals:
            self._rivals.pop()()
        try:
            return self._store.append(drafts, expect=expect)
        except Conflict:
            self.conflicts += 1
            raise


def test_a_lost_race_counts_anew(store):
    seal, other = make(store, ids(0, 100)), make(store, ids(50, 150))
    rivals = [lambda: opened(store, seal, "rival"), lambda: opened(store, other, "rival")]
    racing = _Racing(store, rivals)
    opening = opened(racing, seal, "mine")
    assert racing.conflicts == 2 and opening.number == 3 and opening.inherits == (other.id,)
    # the rival opens for the very same candidate: one opening, spent once
    racing = _Racing(store, [lambda: opened(store, seal, "same")])
    assert opened(racing, seal, "same").number == 4
    assert len([v for v in openings(store) if v.opening.candidate == "same"]) == 1


def test_sharing_a_row_is_found_wherever_it_is():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = (np.unique(rng.integers(0, 2**63, rng.integers(1, 2000), dtype=np.uint64)) for _ in "ab")
        assert not share_a_row(one, other)
        shared = np.unique(np.append(one, rng.choice(other)))
        assert share_a_row(shared, other) and share_a_row(other, shared)
    assert not share_a_row(one, other[:0])
