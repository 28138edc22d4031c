"""What becomes of values that are not as training had them, by the policy of the spec."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from desk_world import Kept, ask, desk, planned, served
from serve_releases import Release, requests
from test_answer import ROW

from headrace.core.errors import DataError
from headrace.core.schema import Type
from headrace.release.manifest import Treated
from headrace.release.plan import InputPolicy, Plan

ODD = {**ROW, "distance": 9e9, "carrier": "ZZ"}


def at(release: Release, log: Kept | None = None, **policy: str) -> Any:
    return desk(served(release, planned(release, Plan(inputs=InputPolicy(**policy)))), log=log)


def problems(release: Release, rows: list[Any], **policy: str) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as refused:
        ask(at(release, **policy), rows)
    return [(p.where, p.what) for p in refused.value.problems]


def test_odd_values_are_flagged_and_answered(binary: Release) -> None:
    there = at(binary)
    (plain,), (odd,) = ask(there, [ROW]), ask(there, [ODD])
    assert (plain["flags"], odd["flags"]) == ((), ("range: distance", "unseen: carrier"))
    assert odd["probability"] == ask(there, [ROW, ODD])[1]["probability"]
    assert [a["flags"] for a in ask(there, [ROW, ODD])] == [(), odd["flags"]]


def test_what_is_flagged_in_one_row_is_flagged_among_many(binary: Release) -> None:
    there, rows = at(binary), requests(60)
    rows[3]["dep"], rows[4]["dep"] = "1999-01-01", "2040-01-01T00:00:00Z"
    alone = [ask(there, [row])[0]["flags"] for row in rows]
    assert [sorted(a["flags"]) for a in ask(there, rows)] == [sorted(f) for f in alone]
    assert "range: dep" in alone[3] and "range: dep" not in alone[4]
    assert any("unseen: carrier" in f for f in alone)


def test_default_takes_odd_values_for_null(binary: Release) -> None:
    there = at(binary, range="default", unseen="default")
    nulls = {**ROW, "distance": None, "carrier": None}
    assert ask(there, [ODD])[0]["probability"] == ask(there, [nulls])[0]["probability"]
    for a, b in zip(ask(there, [ODD, ROW]), ask(there, [nulls, ROW]), strict=True):
        assert a["probability"] == b["probability"]
    assert ask(there, [ODD])[0]["flags"] == ("range: distance", "unseen: carrier")


def test_a_key_that_is_missing_finds_nothing(binary: Release) -> None:
    there = at(binary, missing="default")
    row = {n: v for n, v in ROW.items() if n != "origin"}
    (answer,) = ask(there, [row])
    assert answer["probability"] == ask(there, [{**ROW, "origin": None}])[0]["probability"]
    assert answer["flags"] == ("missing: origin",)


def test_rejection_names_every_field_of_every_row(binary: Release) -> None:
    policy = {"range": "reject", "unseen": "reject"}
    assert problems(binary, [ODD], **policy) == [
        ("distance", "9000000000.0 is outside of what training held"),
        ("carrier", "ZZ is no value that training held"),
    ]
    found = problems(binary, [{**ODD, "night": "yes", "extra": 1}, {**ODD, "seats": -5.0}], **policy)
    assert [where for where, _ in found] == [
        *("rows[0].extra", "rows[0].night", "rows[0].distance", "rows[0].carrier"),
        *("rows[1].distance", "rows[1].seats", "rows[1].carrier"),
    ]


def test_missing_and_unknown_fields(binary: Release) -> None:
    row = {n: v for n, v in ROW.items() if n not in ("night", "seats")} | {"colour": "red"}
    assert {where for where, _ in problems(binary, [row])} == {"night", "seats", "colour"}
    assert {where for where, _ in problems(binary, [row], missing="flag")} == {"colour"}
    (answer,) = ask(at(binary, missing="flag", unknown="flag"), [row])
    assert set(answer["flags"]) == {"missing: night", "missing: seats", "unknown: colour"}
    (long,) = ask(at(binary, unknown="flag"), [{**ROW, "x" * 999: 1}])
    assert len(long["flags"][0]) < 80
    (many,) = ask(at(binary, unknown="flag"), [{**ROW, **{f"f{i}": i for i in range(999)}}])
    assert len(many["flags"]) == 20


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_no_number_is_refused_whatever_the_policy(binary: Release, wrong: float) -> None:
    lax = dict.fromkeys(("missing", "range", "unseen"), "default")
    for rows in ([{**ROW, "distance": wrong}], [ROW, {**ROW, "distance": wrong}]):
        (found,) = problems(binary, rows, **lax)
        assert found[0].endswith("distance") and "NaN and infinities" in found[1]


def test_the_log_has_what_privacy_leaves(binary: Release) -> None:
    serving = replace(
        binary.serving,
        treated={"origin": Treated("mask", Type.TEXT, 2)},
    )
    manifest = replace(binary.manifest, serving=serving, plan=Plan(unit="origin"))
    log = Kept()
    ask(desk(served(binary, manifest), log=log), [{**ROW, "note": "call me on 555"}, ROW])
    for entry in log.entries:
        assert "note" not in entry.inputs and "JFK" not in str(entry.inputs)
        assert entry.inputs["distance"] == ROW["distance"]
        assert entry.unit == entry.inputs["origin"] != "JFK"


def test_an_answer_says_what_it_is(binary: Release) -> None:
    log = Kept()
    (answer,) = ask(at(binary, log=log), [ROW])
    assert list(answer) == [
        *("id", "prediction", "probability", "release", "route", "arm", "by", "fallback", "flags", "review")
    ]
    assert (answer["release"], answer["route"], answer["arm"]) == ("r7", "default", "champion")
    assert (answer["by"], answer["fallback"], answer["review"]) == ("model", False, False)
    (entry,) = log.entries
    assert (entry.id, entry.by, entry.inputs) == (answer["id"], "model", ROW)
    assert entry.answer == {k: answer[k] for k in ("prediction", "probability", "release")}
