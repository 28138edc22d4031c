"""What the split promises: scikit-learn's rows, whole moments, whole groups, and refusals with numbers."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TEXT, NULL_TIME
from headrace.core.spec.tables import SplitSpec
from headrace.data.blocks import time_blocks
from headrace.data.draw import encode
from headrace.data.split import DROPPED, TEST, TRAIN, VALIDATION, split

DAY = 86_400_000_000


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def problems(error: pytest.ExceptionInfo[DataError]) -> str:
    return "\n".join(str(p) for p in error.value.problems)


# --- random and stratified -----------------------------------------------------------------------


def sklearn_parts(n, test, validation, seed, strata=None):
    from sklearn.model_selection import train_test_split

    rest, test_rows = train_test_split(np.arange(n), test_size=test, random_state=seed, stratify=strata)
    wanted = int(np.ceil(validation * n))
    left = np.sort(rest)
    again = None if strata is None else strata[left]
    _, validation_rows = train_test_split(left, test_size=wanted, random_state=seed, stratify=again)
    parts = np.zeros(n, dtype=np.int8)
    parts[test_rows], parts[validation_rows] = TEST, VALIDATION
    return parts


@pytest.mark.parametrize("n", [3, 10, 997, 20_640])
@pytest.mark.parametrize("seed", [0, 42])
def test_random_rows_are_scikit_learns(n, seed):
    made = split(SplitSpec(by="random", test="20%", validation=0.15), n, seed=seed)
    assert np.array_equal(made.parts, sklearn_parts(n, 0.2, 0.15, seed))
    assert np.array_equal(made.units, np.arange(n))
    assert not made.dropped


@pytest.mark.parametrize("seed", range(8))
def test_stratified_rows_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    for strata in (
        rng.integers(-3, 4, 500),
        rng.choice(["b", "a", "Ä", "zebra"], 501, p=[0.1, 0.2, 0.3, 0.4]),
        rng.choice([0.5, -1.5, 1e9], 499),
        rng.random(800) < 0.07,
        np.repeat(np.arange(25), 8),  # every remainder ties: the draw among ties must agree too
    ):
        made = split(SplitSpec(by="stratified"), strata.size, seed=seed, strata=strata)
        assert np.array_equal(made.parts, sklearn_parts(strata.size, 0.15, 0.15, seed, strata))


def test_housing_test_rows_are_the_books(housing):
    import pandas as pd
    from sklearn.model_selection import train_test_split

    with housing.open() as file:
        income = np.array([float(row["median_income"]) for row in csv.DictReader(file)])
    bands = pd.cut(income, [0, 1.5, 3, 4.5, 6, np.inf], labels=[1, 2, 3, 4, 5])
    _, book = train_test_split(np.arange(income.size), test_size=0.2, stratify=bands, random_state=42)
    case = np.select([income <= 1.5, income <= 3, income <= 4.5, income <= 6], [1.0, 2.0, 3.0, 4.0], 5.0)
    on = "case when median_income <= 1.5 then 1 when median_income <= 3 then 2 else 3 end"
    made = split(SplitSpec(by="stratified", on=on, test="20%", seed=42), income.size, seed=7, strata=case)
    assert np.array_equal(made.rows(TEST), np.sort(book))
    assert made.counts == {"train": 13416, "validation": 3096, "test": 4128}


def test_text_and_arrow_strata_give_the_same_rows():
    words = np.random.default_rng(1).choice(["no", "yes", "maybe"], 300)
    chunked = pa.chunked_array([pa.array(words[:100]), pa.array(words[100:])])
    spec = SplitSpec(by="stratified")
    first = split(spec, 300, seed=3, strata=words).parts
    for other in (words.astype(object), pa.array(words), chunked, chunked.dictionary_encode()):
        assert np.array_equal(first, split(spec, 300, seed=3, strata=other).parts)


def test_null_is_a_stratum_of_its_own():
    strata = np.array(["a"] * 40 + [None] * 20, dtype=object)
    made = split(SplitSpec(by="stratified", test="20%", validation="20%"), 60, seed=0, strata=strata)
    assert np.bincount(made.parts[40:]).tolist() == [12, 4, 4]
    coded = encode(np.array([2.0, np.nan, -0.0, 0.0]))
    assert coded.codes.tolist() == [1, 2, 0, 0] and coded.label(2) is None and len(coded) == 3


def test_the_null_marks_of_raw_columns_are_null():
    for values in (
        np.array(["b", NULL_TEXT, "a", NULL_TEXT], dtype=object),
        np.array([7, NULL_TIME, 3, NULL_TIME]),
        np.array([7.5, np.nan, 3.5, np.nan]),
        pa.array([True, None, False, None]),
    ):
        coded = encode(values)
        assert coded.codes.tolist() == [1, 2, 0, 2] and coded.null and len(coded) == 3


def test_rows_without_target_are_dropped_first_and_counted():
    usable = np.ones(100, dtype=bool)
    usable[::4] = False
    made = split(SplitSpec(by="random", test="20%"), 100, seed=0, usable=usable)
    assert made.dropped == {"target null": 25}
    assert made.counts == {"train": 48, "validation": 12, "test": 15}
    assert np.array_equal(made.parts[usable], sklearn_parts(75, 0.2, 0.15, 0))
    assert (made.parts[~usable] == DROPPED).all()


def test_the_splits_seed_has_precedence():
    one = split(SplitSpec(by="random", seed=5), 50, seed=1)
    assert np.array_equal(one.parts, split(SplitSpec(by="random"), 50, seed=5).parts)
    assert not np.array_equal(one.parts, split(SplitSpec(by="random"), 50, seed=1).parts)


def test_single_member_strata_are_named():
    strata = np.array([1] * 20 + [2] * 20 + [7])
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="stratified", on="band"), 41, seed=0, strata=strata)
    assert "1 of 3 strata of split.on (band) have a single row: 7" in problems(error)
    assert "fix: join rare strata" in problems(error)


def test_a_stratum_that_is_single_once_the_test_is_drawn_is_named():
    strata = np.array(["common"] * 20 + ["rare"] * 2)
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="stratified", test="40%", validation="20%"), 22, seed=0, strata=strata)
    assert "of the target have a single row left when the test is drawn: 'rare'" in problems(error)


def test_more_strata_than_rows_to_draw():
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="stratified", test="10%"), 40, seed=0, strata=np.repeat(np.arange(10), 4))
    assert "10 strata of the target can't all be in test's draw" in problems(error)
    assert "40 rows into 36 and 4" in problems(error)


# --- impossible sizes ----------------------------------------------------------------------------


def test_shares_that_leave_nothing_for_train():
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="random", test="60%", validation="40%"), 100, seed=0)
    assert "validation (40%) and test (60%) take 100 of 100 rows" in problems(error)


def test_too_few_rows():
    with pytest.raises(DataError, match="bring more rows: at least 3"):
        split(SplitSpec(by="random"), 2, seed=0)
    with pytest.raises(DataError, match="no row has a target"):
        split(SplitSpec(by="random"), 0, seed=0)
    with pytest.raises(DataError, match="no row has a target"):
        split(SplitSpec(by="random"), 9, seed=0, usable=np.zeros(9, dtype=bool))


def test_durations_need_time_and_both_are_reported():
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="random", test="14 days", validation="7 days"), 100, seed=0)
    assert [p.where for p in error.value.problems] == ["split.validation", "split.test"]
    assert "'14 days' is a duration, and a split by random has no time" in problems(error)


def test_missing_or_misshapen_arrays_are_the_callers_mistake():
    with pytest.raises(ValueError, match="a split by time needs its values"):
        split(SplitSpec(by="time"), 10, seed=0)
    with pytest.raises(ValueError, match="times has 9 values for 10 rows"):
        split(SplitSpec(by="time"), 10, seed=0, times=np.arange(9))


# --- by time -------------------------------------------------------------------------------------


def test_time_shares_take_the_latest_rows_in_any_order():
    rng = np.random.default_rng(0)
    times = rng.permutation(1000) * DAY
    made = split(SplitSpec(by="time"), 1000, seed=0, times=times)
    assert made.counts == {"train": 700, "validation": 150, "test": 150}
    assert times[made.parts == TRAIN].max() < times[made.parts == VALIDATION].min()
    assert times[made.parts == VALIDATION].max() < times[made.parts == TEST].min()


@pytest.mark.parametrize("seed", range(20))
def test_rows_of_one_moment_never_straddle(seed):
    rng = np.random.default_rng(seed)
    times = rng.integers(0, rng.integers(3, 40), 300) * DAY
    parts = split(SplitSpec(by="time"), 300, seed=0, times=times).parts
    for moment in np.unique(times):
        assert np.unique(parts[times == moment]).size == 1
    assert (parts >= 0).all() and np.unique(parts).size == 3


def test_the_cut_closest_to_the_share_is_taken():
    times = np.repeat(np.arange(10), [10] * 8 + [1, 19]) * DAY  # 15 rows wanted: 19 or 20 or none
    assert split(SplitSpec(by="time"), 100, seed=0, times=times).counts["test"] == 19
    times = np.repeat(np.arange(10), [10] * 8 + [12, 8]) * DAY  # 15 wanted: 8 or 20
    assert split(SplitSpec(by="time"), 100, seed=0, times=times).counts["test"] == 20


def test_absolute_durations_are_the_last_days():
    times = np.repeat(np.arange(60), 3) * DAY
    made = split(SplitSpec(by="time", test="14 days", validation="7 days"), 180, seed=0, times=times)
    assert made.counts == {"train": 39 * 3, "validation": 7 * 3, "test": 14 * 3}


def test_the_gap_comes_out_of_train_and_is_counted():
    times = np.arange(60) * DAY
    spec = SplitSpec(by="time", test="14 days", validation="7 days", gap="2 days")
    made = split(spec, 60, seed=0, times=times)
    assert made.counts == {"train": 60 - 14 - 7 - 1 - 2, "validation": 8, "test": 14}
    assert made.dropped == {"gap": 2}
    starts = [times[made.parts == code].min() for code in (VALIDATION, TEST)]
    ends = [times[made.parts == code].max() for code in (TRAIN, VALIDATION)]
    assert all(start - end == 2 * DAY for start, end in zip(starts, ends, strict=True))


def test_rows_without_time_are_refused_with_count_and_first_row():
    times = np.arange(30) * DAY
    times[[4, 9]] = NULL_TIME
    usable = np.ones(30, dtype=bool)
    usable[4] = False  # dropped anyway: its missing time doesn't matter
    with pytest.raises(DataError, match="1 of 29 rows have no time; the first is row 10"):
        split(SplitSpec(by="time"), 30, seed=0, times=times, usable=usable)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"test": "40 days"},
            r"test \(40 days\) takes every row that is left; the rows span 29.0 days, from",
        ),
        (
            {"test": "20 days", "validation": "15 days"},
            r"validation \(15 days\) takes every row that is left",
        ),
        ({"gap": "40 days"}, r"validation \(15%\) holds no row behind the gap of 40 days"),
        ({"gap": "18 days"}, "the gap of 18 days leaves no row for train"),
    ],
)
def test_impossible_time_splits(spec, message):
    with pytest.raises(DataError, match=message):
        split(SplitSpec(by="time", **spec), 30, seed=0, times=np.arange(30) * DAY)


def test_one_moment_can_not_be_divided():
    with pytest.raises(DataError, match=r"every row has the same time \(1970-01-02 00:00:00Z\)"):
        split(SplitSpec(by="time"), 30, seed=0, times=np.full(30, DAY))


# --- units ---------------------------------------------------------------------------------------


def test_blocks_are_days_of_the_wall_clock():
    texts = ["2013-03-10 04:59", "2013-03-10 05:00", "2013-03-11 03:59", "2013-03-11 04:00"]
    times = np.array([micros(t) for t in texts])
    made = split(
        SplitSpec(by="time", test=0.2, validation=0.2), 4, seed=0, times=times, zone="America/New_York"
    )
    first = made.units[0]
    # the day on which the clocks go forward has 23 hours: it ends at 04:00 UTC, not at 05:00
    assert (made.units - first).tolist() == [0, 1, 1, 2]
    assert (split(SplitSpec(by="time"), 4, seed=0, times=times).units - first).tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
def test_wall_clock_agrees_with_the_standard_library(zone):
    from zoneinfo import ZoneInfo

    rng = np.random.default_rng(2)
    times = rng.integers(micros("1900-01-02"), micros("2025-01-01"), 3000)
    expected = [
        datetime.fromtimestamp(t / 1e6, ZoneInfo(zone)).replace(tzinfo=UTC).timestamp() // 3600
        for t in (times // 1_000_000 * 1_000_000).tolist()
    ]
    assert time_blocks(times, DAY // 24, zone).tolist() == expected


def test_extreme_and_null_times_have_blocks():
    times = np.array([NULL_TIME, NULL_TIME, NULL_TIME + 1, 2**63 - 1 - DAY, 0])
    blocks = time_blocks(times, DAY, "Europe/Berlin")
    assert blocks[0] == blocks[1] and np.unique(blocks).size == 4


def test_a_declared_group_is_the_unit_of_a_time_split():
    groups = np.array(["b", "a", None, "b", None, "a"], dtype=object)
    made = split(SplitSpec(by="time", group="g"), 6, seed=0, times=np.arange(6) * DAY, groups=groups)
    assert made.units.tolist() == [1, 0, 2, 1, 3, 0]


# --- by group and by column ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_groups_stay_whole_and_shares_are_close(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 200, 5000)
    made = split(SplitSpec(by="group", group="g"), 5000, seed=seed, groups=groups)
    for group in np.unique(groups):
        assert np.unique(made.parts[groups == group]).size == 1
    assert abs(made.counts["test"] - 750) < 30 and abs(made.counts["validation"] - 750) < 30
    shuffled = rng.permutation(5000)
    again = split(SplitSpec(by="group", group="g"), 5000, seed=seed, groups=groups[shuffled])
    assert np.array_equal(again.parts, made.parts[shuffled])  # the order of rows doesn't matter


def test_a_giant_group_stays_in_train():
    groups = np.array([0] * 800 + [i for i in range(1, 21) for _ in range(10)])
    for seed in range(10):
        made = split(
            SplitSpec(by="group", group="g", test="10%", validation="10%"), 1000, seed=seed, groups=groups
        )
        assert made.parts[0] == TRAIN and made.counts == {"train": 800, "validation": 100, "test": 100}


def test_three_groups_are_enough_and_two_are_not():
    made = split(SplitSpec(by="group", group="g"), 30, seed=0, groups=np.repeat([1, 2, 3], 10))
    assert sorted(made.counts.values()) == [10, 10, 10]
    with pytest.raises(DataError, match=r"g has 2 group\(s\) \(the largest of 20 rows\); 3 parts need 3"):
        split(SplitSpec(by="group", group="g"), 30, seed=0, groups=np.repeat([1, 2], [10, 20]))


def test_rows_without_a_group_are_groups_of_their_own():
    groups = np.array([None] * 50, dtype=object)
    made = split(SplitSpec(by="group", group="g"), 50, seed=0, groups=groups)
    assert np.unique(made.units).size == 50 and made.counts == {"train": 34, "validation": 8, "test": 8}


def test_column_values_in_any_case():
    column = np.array(["Train", " test ", "VALID", "val", "validation", "train"])
    made = split(SplitSpec(by="column", column="part"), 6, seed=0, column=column)
    assert made.parts.tolist() == [TRAIN, TEST, VALIDATION, VALIDATION, VALIDATION, TRAIN]


def test_column_mistakes_come_together():
    column = np.array(["train", "tset", "tset", None, "test"], dtype=object)
    with pytest.raises(DataError) as error:
        split(SplitSpec(by="column", column="part"), 5, seed=0, column=column)
    text = problems(error)
    assert "part holds 'tset' (2 rows), None (1 rows); the first is in row 2" in text
    assert "part has no row with 'validation'" in text and len(error.value.problems) == 2


def test_history_and_until_leave_out_training_rows_alone() -> None:
    times = np.arange(100, dtype=np.int64) * 86_400_000_000
    plan = SplitSpec(by="time", validation=0.1, test=0.1)
    whole = split(plan, 100, seed=0, times=times)
    day = datetime(1970, 3, 2, tzinfo=UTC)  # row 60
    cut = split(
        plan.model_copy(update={"until": day.isoformat(), "history": "20 days"}), 100, seed=0, times=times
    )
    assert cut.rows(TRAIN).tolist() == list(range(40, 61))
    assert cut.rows(VALIDATION).tolist() == whole.rows(VALIDATION).tolist()
    assert cut.rows(TEST).tolist() == whole.rows(TEST).tolist()
    assert dict(cut.dropped) == {"until": 19, "history": 40}
    with pytest.raises(DataError, match="leaves no row for train"):
        split(plan.model_copy(update={"until": "1960-01-01T00:00:00Z"}), 100, seed=0, times=times)
