"""The ports: what headrace asks of the world. Each ships its exam in `headrace.testing`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from headrace.core.artifact import Artifact
from headrace.core.event import Draft, Event


class Store(Protocol):
    """An append-only ledger and content-addressed artifacts.

    A store may be shared by many threads and processes at once, also at the moment when it is first
    created. State is never kept here: it is a fold of the events.
    """

    def head(self) -> tuple[int, str]:
        """Number and digest of the newest event; `(0, GENESIS)` where the ledger is empty."""
        ...

    def append(self, drafts: Sequence[Draft], *, expect: str | None = None) -> tuple[Event, ...]:
        """Write the drafts, all or none, in order, behind the present head. Returns them as events.

        When this returns, the events survive the death of the process. With `expect`, the append
        happens only if the head's digest is still `expect`.

        Raises:
            Conflict: `expect` was given and the head has moved; nothing was written.
            StoreError: the medium refused (full, read-only, locked); nothing was written.
            ValueError: a draft's kind is unknown; nothing was written.
        """
        ...

    def read(
        self,
        *,
        after: int = 0,
        kinds: Collection[str] | None = None,
        subject: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Event]:
        """Events with a number above `after`, in order, of these kinds and this subject where given."""
        ...

    def put(self, source: bytes | Path) -> Artifact:
        """Keep these bytes, or a copy of this file. Idempotent: the same bytes are the same artifact.

        A process killed at any point leaves either nothing or the whole artifact under its digest.

        Raises:
            StoreError: the medium refused; nothing half-written is left under the digest.
        """
        ...

    def scratch(self, suffix: str = "") -> Path:
        """A path of its own, with nothing there yet, for a file or folder in the making.

        `put` of a file made there moves it instead of copying. What a dead process left is swept later.
        """
        ...

    def get(self, digest: str) -> Path:
        """A local, readable file with the artifact's bytes. The caller must not write to it.

        Raises:
            NotFound: no artifact has this digest.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether the artifact is there."""
        ...

    def artifacts(self) -> Iterator[Artifact]:
        """Every artifact that is kept, in no stated order."""
        ...
