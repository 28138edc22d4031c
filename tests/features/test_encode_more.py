"""Counts, hashes and words: their values against plain Python and scikit-learn, and the same in the graph."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from encoders import BINARY, REGRESSION, THREE, check_agreement, evaluated, fit

from headrace.core.errors import DataError
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import FIRST_CODE, MISSING
from headrace.expr import parse
from headrace.features.edges import NUMBERS, TEXTS
from headrace.features.encode.count import CountEncoder
from headrace.features.encode.hash import HashEncoder
from headrace.features.encode.tfidf import TfidfEncoder

TYPES = {"city": Type.TEXT, "zip": Type.NUMBER, "note": Type.TEXT}
WORDS = ("Wind", "RAIN,", "late-night", "Zoë", "東京", "x", "a_1", "30", "it's", "—", "ĳ", "снег", "🙂", "\n")


def texts(values: list[str | None]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = [NULL_TEXT if v is None else v for v in values]
    return made


def notes(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = np.arange(len(WORDS), 0, -1.0)
    made: list[str | None] = [
        " ".join(rng.choice(WORDS, rng.integers(0, 9), p=weights / weights.sum())) for _ in range(n)
    ]
    made[3] = None
    return texts(made)


def rows(n: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    city = texts([None if i == 0 else f"c{i}" for i in rng.integers(0, 12, n)])
    zips = np.where(rng.random(n) < 0.1, np.nan, rng.integers(-3, 4, n) * 0.5)
    return {"city": city, "zip": zips, "note": notes(n, seed)}


FINITE = [0.0 if not np.isfinite(v) else v for v in NUMBERS]
EDGES = {
    "city": texts([*TEXTS, None, *["c1"] * len(NUMBERS)]),
    "zip": np.array([*[np.nan] * (len(TEXTS) + 1), *FINITE]),
    "note": texts([*TEXTS, None, *["x" * 20_000, "a" * 9 + " " * 2000] * 6, "rain"]),
}


def typed(*of: str):
    return {t: parse(t, TYPES) for t in of}


@pytest.mark.parametrize("task", [BINARY, THREE, REGRESSION], ids=lambda t: t.kind.value)
@pytest.mark.parametrize(
    "encoder",
    [
        CountEncoder("e", typed("city")),
        CountEncoder("e", typed("zip", "city")),
        HashEncoder("e", typed("city"), 7),
        HashEncoder("e", typed("zip"), 64),
        TfidfEncoder("e", typed("lower(note)"), 5),
    ],
    ids=lambda e: f"{type(e).__name__}-{'-'.join(e.inputs)}",
)
def test_the_graph_answers_what_the_encoder_does(encoder, task):
    rng = np.random.default_rng(5)
    check_agreement(encoder, rows(), rng.integers(0, 2, 300).astype(float), task, EDGES)


def test_a_count_is_of_the_other_rows():
    raw = {"city": texts(["a", "b", "a", None, "a"])}
    fitted = fit(CountEncoder("e", typed("city")), raw, np.zeros(5), REGRESSION)
    assert fitted.own()[:, 0].tolist() == [2, 0, 2, 0, 2]
    assert fitted.values({"city": texts(["a", "b", "c", None])})[:, 0].tolist() == [3, 1, 0, 0]


def test_a_pair_is_counted_where_neither_is_null():
    raw = {"city": texts(["a", "a", "b", None]), "zip": np.array([1.0, 1.0, np.nan, 1.0])}
    fitted = fit(CountEncoder("e", typed("city", "zip")), raw, np.zeros(4), REGRESSION)
    assert fitted.values(raw)[:, 0].tolist() == [2, 2, 0, 0]


def test_hashes_are_those_of_scikit_learn():
    from sklearn.utils import murmurhash3_32

    encoder, city = HashEncoder("e", typed("city"), 50), texts([*TEXTS, None])
    found = fit(encoder, {"city": city}, np.zeros(len(city)), BINARY).own()[:, 0]
    wanted = [murmurhash3_32(t.encode(), positive=True) % 50 + FIRST_CODE for t in TEXTS]
    assert found.tolist() == [*wanted, MISSING]
    numbers = np.array([0.0, -0.0, 1.5, 1e300])
    found = fit(HashEncoder("e", typed("zip"), 50), {"zip": numbers}, np.zeros(4), BINARY).own()[:, 0]
    wanted = [murmurhash3_32((v + 0.0).tobytes(), positive=True) % 50 + FIRST_CODE for v in numbers]
    assert found.tolist() == wanted


def test_buckets_are_about_evenly_filled():
    city = texts([f"id-{i}" for i in range(6400)])
    own = fit(HashEncoder("e", typed("city"), 64), {"city": city}, np.zeros(6400), BINARY).own()
    counts = np.array(list(Counter(own.ravel().tolist()).values()))
    assert len(counts) == 64
    chi2 = float(((counts - 100.0) ** 2 / 100.0).sum())
    assert 30 < chi2 < 110  # 63 degrees of freedom: about 1 in 1,000 on either side


@pytest.mark.parametrize("size", [2, 6, 200])
def test_weights_are_those_of_scikit_learn(size: int):
    from sklearn.feature_extraction.text import TfidfVectorizer

    encoder = TfidfEncoder("e", typed("lower(note)"), size)
    raw = {"note": notes(200)}
    fitted = fit(encoder, raw, np.zeros(200), REGRESSION)
    plain = ["" if t == NULL_TEXT else t for t in raw["note"]]
    theirs = TfidfVectorizer(max_features=size)
    wanted = theirs.fit_transform(plain).toarray()
    assert [f.name for f in fitted.features] == [f"e_{w}" for w in theirs.get_feature_names_out()]
    np.testing.assert_allclose(fitted.own(), wanted, atol=1e-7)
    new = ["Rain rain RAIN in 東京!", "nothing known", "", "Zoë's 30"]
    told = fitted.values(evaluated(encoder, {"note": texts(list(new))}))
    np.testing.assert_allclose(told, theirs.transform(new).toarray(), atol=1e-7)


def test_texts_without_a_word_are_refused():
    with pytest.raises(DataError, match="no word"):
        fit(
            TfidfEncoder("e", typed("lower(note)"), 2), {"note": texts(["-", None, "a"])}, np.zeros(3), BINARY
        )
