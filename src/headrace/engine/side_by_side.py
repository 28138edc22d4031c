"""Looks at the same rows that don't need each other, on the threads that a run may use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def side_by_side(threads: int, *looks: Callable[[], Any]) -> list[Any]:
    """What each of these returns, in their order. The first that raises does so here, when all have ended.

    They may read the same things and change none. What they spend their time on lets other threads run
    (numpy, Arrow, onnxruntime).
    """
    if threads < 2:
        return [look() for look in looks]
    with ThreadPoolExecutor(threads, thread_name_prefix="headrace-looks") as pool:
        begun = [pool.submit(look) for look in looks]
    return [look.result() for look in begun]
