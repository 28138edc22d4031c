"""Content names: the same content has one name, another content another, forever."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.codec import from_json
from headrace.core.digest import FORMAT, canonical, digest, digest_bytes, digest_file

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_canonical_json() -> None:
    value = {
        "b": [1, 2.0, None, True],
        "a": {"é": "\u2028", "Z": 1e22},
        "c": float("nan"),
        "d": float("-inf"),
    }
    expected = '{"a":{"Z":1e22,"é":"\u2028"},"b":[1,2.0,null,true],"c":null,"d":null}'
    assert canonical(value) == expected.encode()


@given(json_values)
def test_canonical_json_is_read_back_to_the_same_bytes(value: object) -> None:
    once = canonical(value)
    assert canonical(from_json(once, object)) == once


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


def test_a_record_and_its_fields_have_one_name() -> None:
    @dataclass(frozen=True)
    class Point:
        y: int
        x: int

    assert digest(Point(y=2, x=1)) == digest({"x": 1, "y": 2})


@pytest.mark.parametrize(
    ("one", "other"), [(1, 1.0), (1, True), (1, "1"), ([1], [[1]]), ({}, []), (None, "null"), ("", None)]
)
def test_different_contents_have_different_names(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_names_never_change() -> None:
    """Fixed when the format was made: ledgers and memos out there hold these."""
    assert FORMAT == b"headrace/1\n"
    assert (
        digest({"b": 1, "a": [1.5, "é", None]})
        == hashlib.sha256(b'headrace/1\n{"a":[1.5,"\xc3\xa9",null],"b":1}').hexdigest()
    )
    assert digest([]) == "6ad44b69f636009b4025a71557568feda27bb4f3bf8103171ac46eb8f8a00a20"


@pytest.mark.parametrize("value", [{1: "a"}, {"x": object()}, {"x": {None: 1}}])
def test_what_has_no_canonical_json(value: object) -> None:
    with pytest.raises(TypeError):
        digest(value)


def test_names_do_not_depend_on_the_hash_seed() -> None:
    code = "from headrace.core.digest import digest; print(digest({c: ord(c) for c in 'headrace'}))"
    names = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert names == {digest({c: ord(c) for c in "headrace"}) + "\n"}


@given(st.binary(max_size=5000))
def test_an_artifact_is_named_as_sha256sum_names_it(data: bytes) -> None:
    assert digest_bytes(data) == hashlib.sha256(data).hexdigest()


def test_a_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    path = tmp_path / "file"
    path.write_bytes(data)
    assert digest_file(path) == digest_bytes(data)
