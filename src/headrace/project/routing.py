"""What changes who answers: routes, their canaries and shadows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace.core.errors import UserError
from headrace.core.event import Event
from headrace.core.routes import DEFAULT, Route
from headrace.project.logging import Logging
from headrace.project.serving import Serving

if TYPE_CHECKING:
    from headrace.engine.arm_worth import ArmWorth
    from headrace.engine.routes import Wanted
    from headrace.engine.shadows import Shadowed
    from headrace.policy.guardrails import Judged

GUARD = "guard"
"""The name that events carry which nobody but a guardrail or a ramp has caused."""


class Routing(Serving, Logging):
    """The routes of a `Project`. Every server follows within a second."""

    def routes(self) -> dict[str, Route]:
        """The routes as they stand, by name; the champion answers what no arm takes."""
        from headrace.engine.routes import moment

        return moment(self.store).routes

    def set_route(
        self,
        *,
        canary: str | tuple[str, float] | None = None,
        shadows: Mapping[str, float] | None = None,
        ramp: Sequence[float] | None = None,
        bake: str | None = None,
        guardrails: Sequence[str] | None = None,
        again: bool = False,
        reason: str = "",
        route: str = DEFAULT,
    ) -> Route:
        """Give a route a canary (a release on the ramp of its spec, or with a share of its own), shadows
        (releases and their shares), another ramp or other guardrails. What is not named stays as it is.

        Raises:
            NotFound: there is no such release.
            UserError: a release may not answer (it was not promoted, was taken down, is champion already), or
                the shares can't be.
        """
        from headrace.engine.routes import Wanted, set_route

        wanted: Wanted = Wanted(
            canary=(canary, None) if isinstance(canary, str) else canary,
            shadows=None if shadows is None else tuple(shadows.items()),
            ramp=None if ramp is None else tuple(ramp),
            bake=bake,
            guardrails=None if guardrails is None else tuple(guardrails),
            again=again,
            reason=reason,
        )
        return set_route(self.store, wanted, name=route, actor=self.actor, clock=self._clock)

    def pause_route(self, *, route: str = DEFAULT) -> Route:
        """Let a canary's ramp stand still. Its guardrails hold."""
        from headrace.engine.routes import pause

        return pause(self.store, True, name=route, actor=self.actor, clock=self._clock)

    def resume_route(self, *, route: str = DEFAULT) -> Route:
        """Let a paused ramp go on; its share is held for a whole bake again."""
        from headrace.engine.routes import pause

        return pause(self.store, False, name=route, actor=self.actor, clock=self._clock)

    def roll_back_route(self, release: str | None = None, *, reason: str = "", route: str = DEFAULT) -> Route:
        """Take a release (default: the canary) off a route, at once.

        Raises:
            UserError: it is not on the route.
        """
        from headrace.engine.routes import roll_back

        return roll_back(
            self.store, name=route, release=release, reason=reason, actor=self.actor, clock=self._clock
        )

    def route_history(self, route: str | None = None) -> tuple[Event, ...]:
        """What became of a route (default: of all), oldest first."""
        from headrace.engine.routes import history

        return history(self.store, route)

    def standing(self) -> Mapping[str, Any]:
        """How the guardrails of each route's canary stand, as the guard of a serving process has left it a
        moment ago: `at`, `next` (what becomes of the canary), and `judged`. Empty where nobody watches."""
        from headrace.core.places import STORE_DIR
        from headrace.serve.guard import left_standing

        return left_standing(self.root / STORE_DIR, self._clock())

    def shadowed(self) -> tuple[Shadowed, ...]:
        """What the shadows of the routes would have said, against what was said."""
        from headrace.engine.shadows import shadowed

        def ask(sql: str) -> tuple[Mapping[str, str], list[tuple[Any, ...]]]:
            told = self.log_query(sql)
            return dict(zip(told.names, told.types, strict=True)), told.rows

        return shadowed(self.store, ask) if self.log_folder.is_dir() else ()

    def route_verbs(self) -> _Verbs:
        """What a guard does to the project's routes (see `serve.guard.Guardian`). Loads all that it needs."""
        import headrace.engine.routes as _  # not when a canary is to be taken off

        del _
        return _Verbs(type(self)(self.root, store=self.store, clock=self._clock, actor=GUARD))


class _Verbs:
    """What a guard does, in the project's ledger."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing

    def roll_back(self, route: str, release: str, reason: str, judged: Sequence[Judged]) -> None:
        from headrace.engine.routes import roll_back

        with suppress(UserError):  # somebody took it off a moment ago
            roll_back(
                self._routing.store,
                name=route,
                release=release,
                reason=reason,
                judged=judged,
                actor=GUARD,
                clock=self._routing._clock,
            )

    def move(self, route: Route, release: str, share: float, judged: Sequence[Judged]) -> None:
        from headrace.engine.routes import move

        move(
            self._routing.store,
            route.name,
            release,
            share,
            judged,
            number=route.number,
            actor=GUARD,
            clock=self._routing._clock,
        )

    def worth(self, release: str) -> ArmWorth:
        from headrace.engine.arm_worth import ArmWorth

        of = self._routing
        return ArmWorth(of.store, lambda sql: of.log_query(sql).rows, release, news=of._book().news)

    def promote(self, route: str, release: str, judged: Sequence[Judged]) -> str:
        from headrace.engine.routes import promote_canary

        r = self._routing
        return promote_canary(r.store, route, release, judged, r.promote, actor=GUARD, clock=r._clock)
