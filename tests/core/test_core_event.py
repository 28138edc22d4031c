"""Events: sealed into a chain, and the fast path in the store seals just the same."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.digest import digest
from headrace.core.event import GENESIS, KINDS, Draft, Event, seal_event
from headrace.stores import EmbeddedStore

DRAFT = Draft("run.started", "run-1", "2026-11-21T08:00:00.000000Z", "ann", {"seed": 1})

drafts = st.builds(
    Draft,
    kind=st.sampled_from(sorted(KINDS)),
    subject=st.text(max_size=70),
    time=st.text(max_size=30),
    actor=st.text(max_size=30),
    payload=st.dictionaries(
        st.text(max_size=8),
        st.none()
        | st.integers()
        | st.text()
        | st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        max_size=5,
    ),
)


def test_the_digest_covers_every_field() -> None:
    event = seal_event(DRAFT, 7, "a" * 64)
    assert (event.seq, event.prev, event.version) == (7, "a" * 64, KINDS["run.started"][0])
    others = [
        seal_event(DRAFT, 8, "a" * 64),
        seal_event(DRAFT, 7, "b" * 64),
        seal_event(dataclasses.replace(DRAFT, kind="run.finished"), 7, "a" * 64),
        seal_event(dataclasses.replace(DRAFT, subject="run-2"), 7, "a" * 64),
        seal_event(dataclasses.replace(DRAFT, time="2026-11-21T08:00:00.000001Z"), 7, "a" * 64),
        seal_event(dataclasses.replace(DRAFT, actor="bob"), 7, "a" * 64),
        seal_event(dataclasses.replace(DRAFT, payload={"seed": 2}), 7, "a" * 64),
    ]
    assert len({event.digest, *(e.digest for e in others)}) == 8


def test_the_digest_is_that_of_the_fields_in_order() -> None:
    event = seal_event(DRAFT, 1, GENESIS)
    fields = [1, "run.started", 1, "run-1", "2026-11-21T08:00:00.000000Z", "ann", {"seed": 1}, GENESIS]
    assert event.digest == digest(fields)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("unknown event kind 'run.strated'")):
        seal_event(dataclasses.replace(DRAFT, kind="run.strated"), 1, GENESIS)


def test_events_and_drafts_are_frozen() -> None:
    for record in (DRAFT, seal_event(DRAFT, 1, GENESIS)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.actor = "mallory"  # type: ignore[misc] # the test is that it can't be done


def test_kinds_are_named_versioned_and_described() -> None:
    for kind, (version, says) in KINDS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", kind)
        assert version >= 1
        assert says


@given(batch=st.lists(drafts, min_size=1, max_size=5))
def test_the_store_seals_as_seal_event_does(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Draft]
) -> None:
    place: Path = tmp_path_factory.mktemp("seal")
    with_seal: list[Event] = []
    prev = GENESIS
    for seq, draft in enumerate(batch, start=1):
        with_seal.append(seal_event(draft, seq, prev))
        prev = with_seal[-1].digest
    store = EmbeddedStore(place)
    assert list(store.append(batch)) == with_seal
    assert list(store.read()) == with_seal
    store.close()
