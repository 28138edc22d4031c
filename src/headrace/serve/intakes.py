"""What takes facts for whichever release is champion."""

from __future__ import annotations

import threading

from headrace.core.ports import Store
from headrace.serve.answer import secret_of
from headrace.serve.intake import Intake, treated_of
from headrace.serve.live import Live, Served
from headrace.serve.online import Online


class Intakes:
    """The champion's online store and what takes facts for it, made anew once another release is champion: it
    hashes, masks and drops as its own spec says. Safe for use by several threads."""

    def __init__(self, store: Store, live: Live) -> None:
        """Sees first to facts that another process took before."""
        self._store = store
        self._live = live
        self._lock = threading.Lock()
        self._made: tuple[Served, Intake | None] | None = None
        self.now()

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
                self._made = champion, _intake(self._store, champion)
            return self._made[1]

    def _champion(self) -> Served:
        scene = self._live.scene
        return scene.served[scene.champion]


def _intake(store: Store, served: Served) -> Intake | None:
    if served.online is None:
        return None
    serving = served.manifest.serving
    secret = secret_of(treated_of(serving, served.online.feeds), serving.pii_key)
    intake = Intake(store, served.online.store, serving, served.online.feeds, secret)
    intake.catch_up()
    return intake
