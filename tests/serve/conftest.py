"""Releases that are slow to make are made once for all tests of this room; no test writes into them."""

from __future__ import annotations

import pytest
from canary_world import canaried
from serve_releases import Release, make_release
from spine import clock, finished

from headrace.core.task import Kind

__all__ = ["canaried", "clock", "finished"]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("binary"))


@pytest.fixture(scope="session")
def multiclass(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("multiclass"), Kind.MULTICLASS)


@pytest.fixture(scope="session")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("regression"), Kind.REGRESSION)
