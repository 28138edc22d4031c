"""What takes facts for whichever release is champion, and puts them where all that are loaded look."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from headrace.core.ports import Store
from headrace.serve.answer import secret_of
from headrace.serve.intake import Intake, treated_of
from headrace.serve.live import Live, Served
from headrace.serve.online import Online

_LOG = logging.getLogger("headrace.serve")


class Intakes:
    """The champion's online store and what takes facts for it, made anew once another release is champion: it
    hashes, masks and drops as its own spec says. What was taken is put where every loaded release looks, a
    canary's and a shadow's streams too. Safe for use by several threads."""

    def __init__(self, store: Store, live: Live) -> None:
        """Sees first to facts that another process took before, and from now on to what releases lack
        that `live` loads.

        Raises:
            HeadraceError: the champion's facts can't be put where it looks; or as `now`.
        """
        self._store = store
        self._live = live
        self._lock = threading.Lock()
        self._made: tuple[Served, Intake | None] | None = None
        champion = self._champion()
        if champion.online is not None:
            champion.online.catch_up(store)
        self.now()
        live.heed = self.catch_up  # before what is loaded is read, so that none falls in between
        self._everybody()

    @property
    def online(self) -> Online | None:
        """Where the champion looks up; None: in its snapshots alone."""
        return self._champion().online

    def now(self) -> Intake | None:
        """What takes facts for the champion; None without an online store.

        Raises:
            UserError: facts are hashed, and the key of training is not there or another.
        """
        champion = self._champion()
        with self._lock:
            if self._made is None or self._made[0] is not champion:
                self._made = champion, self._intake(champion)
            return self._made[1]

    def catch_up(self, served: Iterable[Served]) -> None:
        """Put facts that arrived where these releases look. One that can't have them says in its answers that
        they are stale, and is tried again; the facts are kept, and the others have them."""
        for one in served:
            if one.online is None:
                continue
            try:
                one.online.catch_up(self._store)
            except Exception as error:  # noqa: BLE001  one release's trouble with a fact must not be another's
                _LOG.warning("facts can't be put where the release %s looks: %s", one.release, error)

    def _everybody(self) -> None:
        self.catch_up(self._live.loaded)

    def _champion(self) -> Served:
        scene = self._live.scene
        return scene.served[scene.champion]

    def _intake(self, served: Served) -> Intake | None:
        online = served.online
        if online is None:
            return None
        serving = served.manifest.serving
        secret = secret_of(treated_of(serving, online.feeds), serving.pii_key)
        return Intake(online.store, serving, online.facts(self._store), secret, self._everybody)
