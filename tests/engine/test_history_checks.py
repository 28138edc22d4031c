"""Mistakes in histories are named with their places before any work, and definitions are part of the keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.core.errors import SpecError
from headrace.project import Project
from tests.spine import begin, edit_spec, statuses, verdict

KNOWN = ("parcels: {read: data/parcels.csv}", "parcels: {read: data/parcels.csv, known_at: at}")


def mistakes(folder: Path, feature: str, *changes: tuple[str, str]) -> str:
    project = begin(folder, ("  wind: weather.wind\n", f"  old: {feature}\n"), *changes)
    with pytest.raises(SpecError) as caught:
        project.check()
    return str(caught.value)


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        ("{aggregate: avg(wnd), over: weather}", r"unknown column 'wnd'(.|\n)*did you mean 'wind'"),
        ("{aggregate: average(wind), over: weather}", r"no aggregate 'average'(.|\n)*write avg"),
        ("{aggregate: av(wind), over: weather}", r"no aggregate 'av'(.|\n)*did you mean 'avg'"),
        ("{aggregate: wind, over: weather}", r"`wind` is no aggregate"),
        ("{aggregate: max(wind) + 1, over: weather}", r"is no aggregate(.|\n)*history.NAME / 60"),
        ("{aggregate: max(wind) + min(wind), over: weather}", r"is no aggregate"),
        ("{aggregate: avg(), over: weather}", r"avg\(\) of what\?"),
        ("{aggregate: avg(depot), over: weather}", r"avg\(\) takes a number, but `depot` is text"),
        ("{aggregate: share(wind), over: weather}", r"share\(\) takes true or false(.|\n)*compare it"),
        ("{aggregate: avg(1), over: weather}", r"`1` reads no column"),
        ("{aggregate: quantile(wind), over: weather}", r"quantile\(\) takes an expression and a number"),
        ("{aggregate: 'quantile(wind, 2)', over: weather}", r"a number from 0 to 1"),
        ("{aggregate: since_last(wind), over: weather}", r"since_last\(\) takes nothing"),
        ("{aggregate: count(), over: wether}", r"no table 'wether'(.|\n)*did you mean 'weather'"),
        ("{aggregate: count(), by: depo}", r"'parcels' has no column 'depo'(.|\n)*did you mean 'depot'"),
        ("{aggregate: count(), over: weather, by: courier}", r"'weather' has no column 'courier'"),
        ("{aggregate: count(), by: [depot, depot]}", r"a column is named twice"),
        ("{aggregate: count(), on: depot}", r"column 'depot' of table 'parcels' is text, not a time"),
        ("{aggregate: count(), on: att}", r"has no column 'att'(.|\n)*did you mean 'at'"),
        ("{aggregate: count(), window: 0 h}", r"the window '0 h' holds nothing"),
        ("{aggregate: count(), window: [60 min, 1 h]}", r"the window '1 h' is given twice"),
        ("{aggregate: count(), window: []}", r"no window in the list"),
        ("{aggregate: count(), window: 999999 weeks}", r"is too long"),
        ("{aggregate: count(), where: distance}", r"where is number, not true or false"),
        ("{aggregate: count(), where: 1 = 1}", r"`1 = 1` reads no column"),
        ("{aggregate: avg(late)}", r"reads the target's column 'late'(.|\n)*known_at"),
        ("{aggregate: count(), where: late > 3}", r"reads the target's column 'late'(.|\n)*known_at"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, feature: str, told: str) -> None:
    found = mistakes(tmp_path, feature)
    assert re.search(told, found), found
    assert "headrace.yaml:29 (features.old" in found


def test_a_table_without_time_has_no_history(tmp_path: Path) -> None:
    changes = ("key: depot, time: seen, ttl: 3 h", "key: depot")
    found = mistakes(tmp_path, "{aggregate: max(wind), over: weather, by: depot}", changes)
    assert "table 'weather' has no time" in found and "`on:` here" in found


def test_events_without_time_have_no_history(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, "{aggregate: count(), on: at}",
        ("  time: at\n  lead: 60 min\n", ""), ("split: {by: time, ", "split: {by: random, "),
        ("key: depot, time: seen, ttl: 3 h", "key: depot"),
    )  # fmt: skip
    assert "a history needs data.time" in found


def test_outcomes_of_test_rows_stay_behind_the_seal(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, "{aggregate: avg(late)}", KNOWN, ("split: {by: time, ", "split: {by: random, ")
    )
    assert "reads the target's column 'late', and the split is by random" in found


def test_names_that_clash(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "{aggregate: count(), window: [3 h]}\n  old_3h: distance")
    assert "makes 'old_3h', which there is already" in found


def test_a_hidden_history_is_for_others(tmp_path: Path) -> None:
    hidden = "{aggregate: count(), window: [3 h, 1 day], hide: true}"
    found = mistakes(tmp_path / "one", f"{hidden}\n  share: history.old_3h / 3")
    assert "nothing reads history.old_1d" in found and "nothing reads history.old_3h" not in found
    ratio = f"  wind: {hidden}\n  ratio: history.wind_3h / history.wind_1d\n"
    compiled = begin(tmp_path / "two", ("  wind: weather.wind\n", ratio)).check()
    assert list(compiled.features) == ["depot", "distance", "hour", "ratio"]
    assert [h.name for h in compiled.histories] == ["wind_1d", "wind_3h"]


def test_a_broken_history_is_told_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path, "{aggregate: avg(wnd), over: weather, window: [3 h]}\n  twice: history.old_3h * 2"
    )
    assert "history.old_3h" not in found


def test_another_definition_is_another_stage(fresh: Project) -> None:
    edit_spec(
        fresh, ("  wind: weather.wind\n", "  old: {aggregate: max(wind), over: weather, window: 3 h}\n")
    )
    assert statuses(fresh.run())["features"] == "ran"
    assert statuses(fresh.run())["features"] == "cached"
    edit_spec(fresh, ("window: 3 h", "window: 4 h"))
    after = statuses(fresh.run())
    assert (after["split"], after["features"]) == ("cached", "ran")


def test_a_champion_is_compared_by_its_own_histories(fresh: Project) -> None:
    """The challenger calls another history by the same name: the champion still answers by the one that it
    was trained on."""
    old = "  old: {aggregate: max(wind), over: weather, by: depot, window: 3 h}\n"
    edit_spec(fresh, ("  wind: weather.wind\n", old))
    assert fresh.run().status == "released"
    _, champion = fresh.release(None)
    edit_spec(fresh, ("max(wind), over", "avg(wind), over"), ("window: 3 h", "window: 2 h"))
    result = fresh.run()
    told = verdict(result, "champion").evidence.details
    assert told["theirs"] == pytest.approx(champion.validation["f1"]["value"], abs=1e-9)
    assert told["ours"] != told["theirs"] > 0.2
