"""A project's folder, its spec and store, and the views that everything else begins with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from headrace.core.clock import Clock, system_clock
from headrace.core.errors import NotFound, SpecError, did_you_mean
from headrace.core.following import Fold, Followed
from headrace.core.html import table
from headrace.core.places import ONLINE as ONLINE
from headrace.core.places import STORE_DIR as STORE_DIR
from headrace.core.ports import OnlineStore, Store
from headrace.core.spec import FILE_NAME, LOCK_NAME, ParsedLock, ParsedSpec, parse_lock, parse_spec
from headrace.core.views import RUN_KINDS, Releases, ReleaseView, RunView, runs

if TYPE_CHECKING:
    from headrace.engine.tracking.index import Found, RunIndex
    from headrace.release.manifest import Manifest

T = TypeVar("T")
F = TypeVar("F", bound=Fold)


def _text(file: Path) -> str | None:
    """A file's text; None where there is no such file.

    Raises:
        SpecError: it can't be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} can't be read: {error}", fix="make it a readable UTF-8 file") from None


class ProjectBase:
    """What every part of a `Project` rests on (see there)."""

    def __init__(
        self,
        path: str | Path = ".",
        *,
        store: Store | None = None,
        clock: Clock = system_clock,
        actor: str | None = None,
    ) -> None:
        self.root = Path(path).resolve()
        self._store = store
        self._clock = clock
        self._actor = actor
        self._held: dict[str, Any] = {}

    def acting(self, actor: str) -> Self:
        """The same project, its store and all, in the name of somebody else."""
        other = copy.copy(self)
        other._actor = actor
        return other

    @property
    def run_index(self) -> RunIndex:
        """The index in which runs are found, sorted and paged."""
        from headrace.engine.tracking.index import RunIndex

        return self._hold("runs", lambda: RunIndex(self.store, self.root / STORE_DIR))

    def _follow(self, begin: type[F]) -> Followed[F]:
        """A fold of the ledger that goes on where it stopped when it is asked again."""
        return self._hold(begin.__name__, lambda: Followed(self.store, begin))

    def _hold(self, name: str, make: Callable[[], T]) -> T:
        """What is made once for this project, and those that act in it in other names."""
        found: T = self._held.setdefault(name, make()) if name not in self._held else self._held[name]
        return found

    @property
    def store(self) -> Store:
        """The project's store; opened on first use.

        Raises:
            SpecError: the folder is no project: it has neither spec nor store.
        """
        if self._store is None:
            from headrace.stores import EmbeddedStore

            folder = self.root / STORE_DIR
            if not folder.is_dir() and not (self.root / FILE_NAME).exists():
                raise self._no_spec()
            self._store = EmbeddedStore(folder)
        return self._store

    def online(self) -> OnlineStore:
        """The project's online store. Its file is made when it is first filled."""
        from headrace.stores.online import SqliteOnlineStore

        return SqliteOnlineStore(self.root / STORE_DIR / ONLINE)

    def _no_spec(self) -> SpecError:
        return SpecError(
            f"there is no {FILE_NAME} in {self.root}",
            fix="go to the project's folder, name it with -C DIR, or start one with `headrace init DIR`",
        )

    @property
    def actor(self) -> str:
        """The name that events carry. A claim, not a proof."""
        from headrace.engine.author import actor

        return actor(self.root, self._actor)

    def spec(self, *, locked: bool = True) -> ParsedSpec:
        """The spec as it stands in the file, with the features of the lock where it asks for proposals
        (`locked=False`: without).

        Raises:
            SpecError: there is no spec, or it or the lock has mistakes (all of them are named).
        """
        text = _text(self.root / FILE_NAME)
        if text is None:
            raise self._no_spec()
        parsed = parse_spec(text, name=FILE_NAME)
        lock = self.lock() if locked and parsed.spec.awaits_proposals else None
        return parsed if lock is None else parsed.locked(lock)

    def lock(self) -> ParsedLock | None:
        """The lock of proposed features; None where there is none yet.

        Raises:
            SpecError: it has mistakes (all of them are named).
        """
        text = _text(self.root / LOCK_NAME)
        return None if text is None else parse_lock(text)

    def runs(self) -> tuple[RunView, ...]:
        """Every run, oldest first."""
        return tuple(runs(self.store.read(kinds=RUN_KINDS)).values())

    def search_runs(
        self, where: str = "", *, sort: str = "started", down: bool = True, start: int = 0, most: int = 50
    ) -> Found:
        """A page of the runs for which an expression is true (as `find` has it; empty: all), in the order of
        any of their fields. Quick however many runs there are.

        Raises:
            UserError: the expression has a mistake, or no run has the field.
        """
        return self.run_index.find(where, sort=sort, down=down, start=start, most=most)

    def show(self, run: str | None = None) -> RunView:
        """One run (default: the newest).

        Raises:
            NotFound: there is no such run.
        """
        store = self.store
        newest = next((e.subject for e in store.read(kinds=("run.started",), newest_first=True)), "")
        if not newest:
            raise NotFound("there are no runs yet", fix="start one with `headrace run`")
        name = run or newest
        found = runs(store.read(kinds=RUN_KINDS, subject=name))
        if name not in found:
            raise NotFound(f"there is no run {name!r}", fix=did_you_mean(name, [r.run for r in self.runs()]))
        return found[name]

    def releases(self) -> Releases:
        """Every release with its state, and who was champion when."""
        from headrace.engine.releases import view

        return view(self.store)

    def release(self, name: str | None = None) -> tuple[ReleaseView, Manifest]:
        """A release (default: the champion) and its manifest.

        Raises:
            NotFound: there is no such release.
        """
        from headrace.engine.releases import find, load_manifest

        found = find(self.releases(), name)
        return found, load_manifest(self.store, found)

    def _repr_html_(self) -> str:
        rows = [[r.run, r.started, r.status, r.release or None, r.name] for r in self.runs()]
        return table(["run", "started", "status", "release", "name"], rows, title=str(self.root))
