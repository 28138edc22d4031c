"""The audit names the first thing that isn't what was written."""

import sqlite3
import tracemalloc
from pathlib import Path

import pytest

from headrace.core.errors import StoreError
from headrace.core.event import Draft
from headrace.stores import AuditReport, EmbeddedStore, audit
from headrace.stores.audit import named_artifacts
from headrace.testing.store_exam import draft

NOON = "2026-11-21T12:00:00.000000Z"


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    """Ten events, the third naming two artifacts; three artifacts."""
    store = EmbeddedStore(tmp_path / "store")
    model, rows = store.put(b"model bytes").digest, store.put(b"row bytes").digest
    store.put(b"named by nobody")
    store.append([draft(1), draft(2)])
    payload = {"key": "9" * 64, "outputs": {"model": model}, "inputs": [{"artifacts": [rows]}]}
    store.append([Draft("stage.finished", "k", NOON, "me", payload)])
    store.append([draft(n) for n in range(4, 11)])
    return store


def edit(store: EmbeddedStore, sql: str) -> None:
    db = sqlite3.connect(store.root / "ledger.db")
    with db:
        assert db.execute(sql).rowcount >= 1
    db.close()


def test_a_sound_store(store: EmbeddedStore) -> None:
    assert audit(store) == AuditReport(events=10, artifacts=3, ok=True, first_broken=None, problems=())


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    assert audit(EmbeddedStore(tmp_path / "store")) == AuditReport(0, 0, True, None, ())


def test_every_json_value_survives_the_audit(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    values = [
        float("nan"),
        float("inf"),
        -0.0,
        1e22,
        5e-324,
        2**64 + 1,
        -(2**63) - 1,
        "é\U0001f600\x7f\u2028",
        None,
    ]
    store.append(
        [Draft("run.started", "ü", NOON, "ß", {"é": values, "z": {"b": 1, "a": [(), {}]}, "B": b"\x00\xff"})]
    )
    assert audit(store).ok


@pytest.mark.parametrize(
    "change",
    [
        """UPDATE event SET line = replace(line, '"number":5', '"number":6') WHERE seq = 5""",
        """UPDATE event SET line = replace(line, '"exam"', '"mallory"') WHERE seq = 5""",
        """UPDATE event SET line = replace(line, 'T08:', 'T07:') WHERE seq = 5""",
        "UPDATE event SET line = 'gone' WHERE seq = 5",
        "UPDATE event SET kind = 'release.promoted' WHERE seq = 5",
        "UPDATE event SET spot = 0 WHERE seq = 5",
        f"UPDATE event SET digest = '{'a' * 64}' WHERE seq = 5",
        "DELETE FROM event WHERE seq = 5",
        "DELETE FROM event WHERE seq IN (5, 6, 9)",
        """UPDATE event SET line = replace(line, '"number":', '"number":1') WHERE seq >= 5""",
    ],
)
def test_an_edited_ledger_names_the_first_broken_event(store: EmbeddedStore, change: str) -> None:
    edit(store, change)
    report = audit(store)
    assert not report.ok
    assert report.first_broken == "event 5"
    assert report.problems[0].startswith("event 5: ")
    assert report.artifacts == 3


def test_a_changed_event_is_described(store: EmbeddedStore) -> None:
    event = next(store.read(after=6))
    edit(store, """UPDATE event SET line = replace(line, '"number":7', '"number":8') WHERE seq = 7""")
    (problem,) = audit(store).problems
    assert event.seq == 7
    assert problem.startswith("event 7: was changed: its content hashes to ")
    assert problem.endswith(f", not {event.digest}")


def test_an_event_that_was_sealed_anew_breaks_the_one_behind(store: EmbeddedStore, tmp_path: Path) -> None:
    """Somebody who recomputes the edited event's own digest is caught at the next one."""
    other = EmbeddedStore(tmp_path / "other")
    events = list(store.read())
    other.append([Draft(e.kind, e.subject, e.time, e.actor, {**e.payload, "x": 1}) for e in events[:5]])
    forged = list(other.read())[4]
    db = sqlite3.connect(other.root / "ledger.db")
    (line,) = db.execute("SELECT line FROM event WHERE seq = 5").fetchone()
    db.close()
    edit(store, f"UPDATE event SET line = '{line}', digest = '{forged.digest}' WHERE seq = 5")
    report = audit(store)
    assert report.first_broken == "event 5"  # its own predecessor's digest is not the one in this chain
    assert [p.split(":")[0] for p in report.problems] == ["event 5", "event 6"]


def test_events_cut_off_at_the_end_are_not_seen(store: EmbeddedStore) -> None:
    """The documented limit: only a head noted elsewhere shows it."""
    head = store.head()
    edit(store, "DELETE FROM event WHERE seq > 8")
    assert audit(store).ok
    assert store.head() != head


def test_an_edited_artifact_is_named(store: EmbeddedStore) -> None:
    artifact = store.put(b"model bytes")
    path = store.get(artifact.digest)
    path.chmod(0o644)
    path.write_bytes(b"MODEL bytes")
    report = audit(store)
    assert report.first_broken == f"artifact {artifact.digest}"
    assert len(report.problems) == 1
    assert "was changed: its bytes hash to " in report.problems[0]


def test_a_missing_artifact_is_named_with_its_event(store: EmbeddedStore) -> None:
    digest = store.put(b"row bytes").digest
    store.get(digest).unlink()
    report = audit(store)
    assert report.first_broken == "event 3"
    assert report.problems == (f"event 3: names artifact {digest}, which the store doesn't hold",)


def test_problems_are_counted_beyond_a_hundred(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    store.append([draft(n) for n in range(150)])
    edit(store, "UPDATE event SET line = replace(line, 'exam', 'mallory')")
    problems = audit(store).problems
    assert len(problems) == 101
    assert problems[-1] == "… and 50 more"


def test_progress_is_told(store: EmbeddedStore) -> None:
    told: list[tuple[str, int]] = []
    audit(store, progress=lambda what, n: told.append((what, n)))
    assert told == [("events", 10), ("artifacts", 1), ("artifacts", 2), ("artifacts", 3)]


def test_a_store_that_cannot_be_read_is_an_error_not_a_report(store: EmbeddedStore) -> None:
    store.close()
    (store.root / "ledger.db").write_bytes(b"overwritten" * 1000)
    with pytest.raises(StoreError, match="the file is not a SQLite database"):
        audit(store)


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    peaks = []
    store = EmbeddedStore(tmp_path / "store")
    for events in (5_000, 15_000):
        store.append([draft(n, subject="x" * 500) for n in range(events)])
        tracemalloc.start()
        assert audit(store).ok
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({}, []),
        ({"key": "a" * 64, "rows": ["b" * 64]}, []),
        ({"outputs": {"model": "a" * 64, "rows": 7, "note": "text"}}, ["a" * 64]),
        ({"artifacts": ["a" * 64, {"deep": ["b" * 64]}]}, ["a" * 64, "b" * 64]),
        ({"x": [{"y": {"artifacts": "a" * 64}}]}, ["a" * 64]),
        ({"outputs": "A" * 64}, []),
        ({"outputs": "a" * 65}, []),
    ],
)
def test_how_payloads_name_artifacts(payload: dict[str, object], named: list[str]) -> None:
    assert list(named_artifacts(payload)) == named
