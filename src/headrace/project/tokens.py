"""Who may ask what of a server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.project.base import ProjectBase

if TYPE_CHECKING:
    from headrace.core.tokens import Token
    from headrace.engine.tokens import Made


class Tokens(ProjectBase):
    """The tokens of a `Project`."""

    def tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first, those that are revoked or expired too."""
        from headrace.engine.tokens import every

        return tuple(every(self.store).values())

    def make_token(
        self,
        name: str,
        role: str,
        *,
        lasts: timedelta | None,
        routes: Sequence[str] = (),
        rate: float | None = None,
    ) -> Made:
        """Make a token; it is shown once, and kept nowhere.

        Raises:
            UserError: the name is taken, the role unknown, the time or rate not above zero.
        """
        from headrace.engine.tokens import make

        return make(
            self.store,
            name,
            role,
            lasts=lasts,
            routes=routes,
            rate=rate,
            actor=self.actor,
            clock=self._clock,
        )

    def revoke_token(self, which: str, *, reason: str = "") -> Token:
        """Revoke a token by name or id. Every server refuses it within a second.

        Raises:
            NotFound: there is no such token.
        """
        from headrace.engine.tokens import revoke

        return revoke(self.store, which, actor=self.actor, clock=self._clock, reason=reason)
