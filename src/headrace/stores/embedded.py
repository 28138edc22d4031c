"""The store that needs no server: one SQLite file and a folder of artifacts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from headrace.core.artifact import Artifact
from headrace.core.event import Draft, Event
from headrace.stores.files import Files
from headrace.stores.ledger import Ledger


class EmbeddedStore:
    """A `Store` in the folder `root`: `ledger.db`, `artifacts/` and `tmp/`.

    Threads and processes may share it, also while it is first created; the folder must be on a local
    disk. Nothing is created before something is written. A store may be handed to another process: it
    travels as its path, and opens there anew.

    `patience` is how many seconds an append waits for other writers before it raises `StoreError`.
    """

    def __init__(self, root: Path, *, patience: float = 30.0) -> None:
        self.root = Path(root)
        self.patience = patience
        self._ledger = Ledger(self.root / "ledger.db", patience=patience)
        self._files = Files(self.root)

    def head(self) -> tuple[int, str]:
        """See `Store.head`."""
        return self._ledger.head()

    def append(self, drafts: Sequence[Draft], *, expect: str | None = None) -> tuple[Event, ...]:
        """See `Store.append`. A killed process loses nothing that was acknowledged; a power cut may.

        Raises:
            TypeError: a draft has another type in it than its record says, or a payload that is no JSON
                (dates and decimals become text; numpy's numbers must be made Python's first).
        """
        return self._ledger.append(drafts, expect)

    def read(
        self,
        *,
        after: int = 0,
        kinds: Collection[str] | None = None,
        subject: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Event]:
        """See `Store.read`. Ends at the event that was the head when the first event was asked for.

        Raises:
            Corrupt: a row can't be read any more.
            StoreError: the file can't be read, or is no ledger.
        """
        return self._ledger.read(after, kinds, subject, newest_first)

    def put(self, source: bytes | Path) -> Artifact:
        """See `Store.put`. A file made under a `scratch` path is moved, any other is copied.

        Where an artifact of the same digest is there with another length, it was edited by hand: it is
        written anew. An edit that keeps the length is found by `audit` only.

        Raises:
            DataError: the source is no file that can be read.
            StoreError: the medium refused.
        """
        return self._files.put(source)

    def scratch(self, suffix: str = "") -> Path:
        """See `Store.scratch`. What is left there is removed by a later process, once this one is gone."""
        return self._files.scratch(suffix)

    def get(self, digest: str) -> Path:
        """See `Store.get`."""
        return self._files.get(digest)

    def has(self, digest: str) -> bool:
        """See `Store.has`."""
        return self._files.has(digest)

    def artifacts(self) -> Iterator[Artifact]:
        """See `Store.artifacts`."""
        return self._files.artifacts()

    def close(self) -> None:
        """Let go of the ledger's file. The store opens again when it is next used."""
        self._ledger.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.root, self.patience)

    def __repr__(self) -> str:
        return f"EmbeddedStore({str(self.root)!r})"


def _reopen(root: Path, patience: float) -> EmbeddedStore:
    return EmbeddedStore(root, patience=patience)
