"""Run a model graph with onnxruntime: over batches in training, a request in serving.

Does not know what the graph computes, nor how its feeds were made (`graph.encode`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from headrace.core.errors import DataError, HeadraceError, Problem
from headrace.core.schema import Type
from headrace.graph.encode import CHUNK, Batch, Feeds, encode_chunks
from headrace.graph.texts import Prepare

_LOADING = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_RUNNING = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

_DTYPES: Mapping[str, type] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class Runner:
    """A loaded model graph. Holds no rows; `run` is safe to call from several threads at once.

    Every output has the rows of the batch as its first axis. A graph that reads no raw column gives one row,
    and the runner repeats it for as many rows as are asked for.
    """

    def __init__(self, model: bytes | Path, *, threads: int = 1) -> None:
        """Load a graph; `threads` is how many one call may use (they sleep between calls).

        Raises:
            DataError: the bytes, or the file, are no graph that onnxruntime can run.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena costs a small graph 5 µs a row, and saves large batches nothing that could be measured.
        options.enable_cpu_mem_arena = False
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except _LOADING as error:
            raise DataError(
                "onnxruntime can't load this model graph",
                where=str(model) if isinstance(model, Path) else "",
                why=str(error),
                fix="package the model again with this version of headrace",
            ) from error
        self._metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self._feeds = {i.name: (_DTYPES.get(i.type), len(i.shape)) for i in self._session.get_inputs()}
        declared = {n: self._metadata.get(f"type:{n}") for n in self._feeds}
        self._inputs = {n: Type(t) for n, t in declared.items() if t is not None}
        marked = {n: self._metadata.get(f"prepare:{n}") for n in self._feeds}
        self._prepares = {n: Prepare.of(p) for n, p in marked.items() if p is not None}
        self._feeds |= dict.fromkeys(self._prepares, (np.object_, 1))
        self._shapes = {o.name: (o.type, o.shape[1:]) for o in self._session.get_outputs()}
        self._outputs = tuple(self._shapes)
        # Under `InferenceSession.run`, which checks once more what is checked here: 8 of a row's 44 µs.
        self._call = getattr(self._session, "_sess", self._session).run
        self._names = list(self._outputs)

    @property
    def inputs(self) -> dict[str, Type]:
        """The raw columns that the graph reads, with their types (matrix inputs are not among them)."""
        return dict(self._inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the graph's order."""
        return self._outputs

    @property
    def metadata(self) -> dict[str, str]:
        """What the graph's builder wrote into it."""
        return dict(self._metadata)

    def run(self, feeds: Feeds, n_rows: int | None = None) -> dict[str, np.ndarray]:
        """Outputs for one batch: name -> array [rows, ...]. Feeds that the graph doesn't read are ignored.

        `n_rows` is needed only where `feeds` is empty. No rows give empty outputs of the declared types.

        Raises:
            DataError: a feed is missing, of another dtype or number of axes, or of another length.
            HeadraceError: the graph itself failed.
        """
        rows = n_rows
        if rows is None:
            for array in feeds.values():
                rows = len(array)
                break
            else:
                raise ValueError("a run without feeds needs n_rows")
        if rows == 0:
            return {name: self._empty(name) for name in self._outputs}
        try:
            chosen = {name: feeds[name] for name in self._feeds}
            for array in chosen.values():  # not any(...): a generator costs a single row a microsecond
                if len(array) != rows:
                    raise DataError.of(self._misfits(feeds, rows))
            if self._prepares:
                self._prepare(chosen, rows)
            values = self._call(self._names, chosen, None)
        except KeyError:
            raise DataError.of(self._misfits(feeds, rows)) from None
        except _RUNNING as error:
            problems = self._misfits(feeds, rows)
            if problems:
                raise DataError.of(problems) from error
            raise HeadraceError("the model graph failed", why=str(error)) from error
        if not self._feeds:
            values = [np.repeat(value, rows, axis=0) for value in values]
        return dict(zip(self._outputs, values, strict=True))

    def run_batches(self, batches: Iterable[Batch], *, rows: int = CHUNK) -> Iterator[dict[str, np.ndarray]]:
        """Outputs of every batch in order, at most `rows` rows at a time: memory doesn't grow with a batch.

        Batches are Arrow (encoded here) or feeds; empty ones give nothing.

        Raises:
            DataError, HeadraceError: as `run` and `graph.encode.encode_batch`.
        """
        for batch in batches:
            for feeds, count in encode_chunks(batch, self._inputs, rows):
                yield self.run(feeds, count)

    def _prepare(self, chosen: dict[str, np.ndarray], rows: int) -> None:
        """Texts as the graph's metadata wants them (`graph.texts`), in place."""
        for name, prepare in self._prepares.items():
            if chosen[name].dtype != np.object_:
                raise DataError.of(self._misfits(chosen, rows))
            chosen[name] = prepare.apply(chosen[name])

    def _empty(self, name: str) -> np.ndarray:
        kind, rest = self._shapes[name]
        return np.empty((0, *(d if isinstance(d, int) else 0 for d in rest)), dtype=_DTYPES[kind])

    def _misfits(self, feeds: Feeds, rows: int) -> list[Problem]:
        problems = []
        for name, (dtype, axes) in self._feeds.items():
            if name not in feeds:
                problems.append(Problem("the graph's input is missing", where=name))
                continue
            array = feeds[name]
            if array.dtype != dtype or array.ndim != axes:
                what = f"expected {np.dtype(dtype).name} with {axes} axes, found {array.dtype.name}"
                problems.append(Problem(f"{what} with {array.ndim}", where=name))
            elif len(array) != rows:
                problems.append(Problem(f"expected {rows} rows, found {len(array)}", where=name))
        return problems
