"""A coroutine begun at once, and taken on by what it waits for: what needs no waiting is answered without a
round of the loop, and what does without a task, which costs more than all that a row's answer waits for.

There is no current task in it: `asyncio.timeout` and task groups are not for handlers, `asyncio.wait`,
threads and futures are. Nor can it be cancelled: what was begun is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
Told = Callable[[T | None], None]
"""Is told what a coroutine returned; None: it raised."""


def begin(coming: Coroutine[Any, Any, T], told: Told[T]) -> tuple[T] | None:
    """What the coroutine returns, if it has to wait for nothing. Else None, and `told` is told of it later,
    in the context in which this is called."""
    context = copy_context()
    try:
        waits = context.run(coming.send, None)
    except StopIteration as done:
        return (done.value,)
    _wait(coming, waits, told, context)
    return None


def _wait(coming: Coroutine[Any, Any, T], waits: Any, told: Told[T], context: Context) -> None:
    """As a task does (asyncio.Task.__step): a coroutine yields the future that it waits for, or None."""
    go_on = partial(_go_on, coming, told, context)
    if waits is None:
        asyncio.get_running_loop().call_soon(go_on, None, context=context)
    else:
        waits._asyncio_future_blocking = False
        waits.add_done_callback(go_on, context=context)


def _go_on(coming: Coroutine[Any, Any, T], told: Told[T], context: Context, _: Any) -> None:
    try:
        waits = coming.send(None)  # it asks what it waited for for the outcome itself
    except StopIteration as done:
        told(done.value)
    except BaseException:
        told(None)
        raise
    else:
        _wait(coming, waits, told, context)
