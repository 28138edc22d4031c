"""Modules that are imported when something in them is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class _Lazy:
    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self.__name), name)
        self.__dict__[name] = found  # from now on it is found without coming here
        return found


def lazily(name: str) -> Any:
    """Stands for a module. For what a serving process imports and needs only for files, such as pyarrow."""
    return _Lazy(name)
