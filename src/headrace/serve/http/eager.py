"""A coroutine begun at once: what needs no waiting is answered without a task and a round of the loop.

On Python 3.12 asyncio has this itself (`eager_start`). Until its first wait a coroutine that is begun here
has no current task: `asyncio.timeout` and task groups are not for what handlers do before it, `asyncio.wait`
and futures are.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def begin(
    coming: Coroutine[Any, Any, T], later: Callable[[Coroutine[Any, Any, T], Any], None]
) -> tuple[T] | None:
    """What the coroutine returns, if it has to wait for nothing. Else None, and `later` is called with the
    rest of it, and the context in which it was begun."""
    context = copy_context()
    try:
        first = context.run(coming.send, None)
    except StopIteration as done:
        return (done.value,)
    later(_whole(coming, first), context)
    return None


async def _whole(coming: Coroutine[Any, Any, T], first: Any) -> T:
    return await _rest(coming, first)


@types.coroutine
def _rest(coming: Coroutine[Any, Any, T], first: Any) -> Generator[Any, Any, T]:
    """Wait for what the coroutine waits for, then go on with it: it asks for the outcome itself."""
    with suppress(Exception):  # of what it waits for: raised again, where it is awaited
        yield first
    told: T = yield from coming
    return told
