"""Weights of a text's words: how often each is in the text, times how rare it is among the training rows.

A word is two or more letters, digits or underscores of any script in a row; case is put aside. A weight is
count * (ln((1 + rows) / (1 + rows with the word)) + 1), and a text's weights have length 1 (Spärck Jones,
Journal of Documentation 28, 1972; smoothed and scaled as scikit-learn's TfidfVectorizer does by default).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from headrace.core.errors import DataError
from headrace.core.task import Feature, FeatureKind, Task
from headrace.expr.nodes import Expr
from headrace.features.encode.by_graph import FittedByGraph, answered
from headrace.features.encoder import Inputs
from headrace.graph.build import RUNTIME, GraphBuilder

WORD = r"[\p{L}\p{N}_]{2,}"
"""In the syntax of RE2, which onnxruntime's tokenizer reads."""
_PAD = "\x01"
"""Fills up shorter rows of words; no word."""


@dataclass(frozen=True)
class TfidfEncoder:
    """`encode: tfidf`. A column for each of the `size` most frequent words, or of all where there are fewer;
    null has none of them. The one input is the text in lower case."""

    name: str
    inputs: Mapping[str, Expr]
    size: int
    supervised: bool = False

    def fit(
        self,
        inputs: Inputs,
        y: NDArray[np.float64],
        *,
        units: NDArray[np.int64],
        task: Task,
        seed: int,
    ) -> FittedTfidf:
        """Count words over these rows; of equally frequent ones the first in order are kept.

        Raises:
            DataError: there is no word.
        """
        del units, task, seed
        total: Counter[str] = Counter()
        rows: Counter[str] = Counter()
        for part in answered(_words, inputs, TensorProto.STRING):
            for words in part.tolist():
                total.update(words)
                rows.update(set(words))
        total.pop(_PAD, None)
        if not total:
            raise DataError(
                "the training rows hold no word",
                where=f"features.{self.name}",
                why="a word is two or more letters, digits or underscores in a row",
                fix="leave the feature out",
            )
        ranked = sorted(total, key=lambda w: (-total[w], w))[: self.size]
        words = tuple(sorted(ranked))
        weights = np.log((1 + len(y)) / (1 + np.array([rows[w] for w in words], np.float64))) + 1
        (text,) = self.inputs
        features = tuple(
            Feature(f"{self.name}_{w}", FeatureKind.NUMBER, expression=f"weight of {w!r} in {text}")
            for w in words
        )
        return FittedTfidf(features, inputs, words, weights)


@dataclass(frozen=True, eq=False)
class FittedTfidf(FittedByGraph):
    """Words in order, each with its weight."""

    words: tuple[str, ...]
    weights: NDArray[np.float64]

    def emit(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Words counted, weighed and scaled."""
        count = len(self.words)
        counts = builder.node(
            "TfIdfVectorizer",
            _words(builder, inputs),
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=list(range(count)),
            pool_strings=list(self.words),
        )
        double = builder.node("Cast", counts, to=TensorProto.DOUBLE)
        weighed = builder.node("Mul", double, builder.constant(self.weights, np.float64))
        square = builder.node("Mul", weighed, weighed)
        length = builder.node("Sqrt", builder.node("ReduceSum", square, builder.constant([1], np.int64)))
        none = builder.node("Equal", length, builder.constant(0.0, np.float64))
        divisor = builder.node("Where", none, builder.constant(1.0, np.float64), length)
        return builder.node("Div", weighed, divisor)


def _words(builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
    """The words of each text, [rows, as many as the longest has and one], filled up by `_PAD`."""
    (tensor,) = inputs.values()
    found = builder.node(
        "Tokenizer",
        tensor,
        domain=RUNTIME,
        mark=0,
        mincharnum=1,
        pad_value=_PAD,
        tokenexp=WORD,
    )
    # One more in every row: no vectorizer takes a tensor without columns.
    shape = builder.node("Concat", builder.node("Shape", tensor), builder.constant([1], np.int64), axis=0)
    more = builder.node("Expand", builder.constant([_PAD]), shape)
    return builder.node("Concat", found, more, axis=1)
