"""Peers: other servers of the same rows, each started from a Python of its own that has it installed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.load import serving, wrk

TRAIN = """
import sys
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

table = pd.read_csv(sys.argv[1])
y = table.pop("median_house_value")
encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
columns = make_column_transformer((encode, ["ocean_proximity"]), remainder="passthrough")
model = make_pipeline(columns, HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05))
model.fit(table, y)
"""
SAVE_MLFLOW = (
    TRAIN
    + """
import mlflow.sklearn

mlflow.sklearn.save_model(model, sys.argv[2], serialization_format="cloudpickle")
"""
)
SAVE_PICKLE = (
    TRAIN
    + """
import joblib

joblib.dump(model, sys.argv[2])
"""
)
BENTO_MODEL = """
import os
import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1)
class Peer:
    def __init__(self):
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api(route="/predict")
    def predict(self, row: dict) -> dict:
        return {"prediction": float(self.model.predict(pd.DataFrame([row]))[0])}
"""
BENTO_GRAPH = """
import os
import bentoml
import numpy as np
import onnxruntime as ort


@bentoml.service(workers=1)
class Peer:
    def __init__(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(os.environ["MODEL"], options)
        self.kinds = {i.name: object if "string" in i.type else np.float64 for i in self.session.get_inputs()}

    @bentoml.api(route="/predict")
    def predict(self, row: dict) -> dict:
        feeds = {n: np.array([row[n]], dtype=k) for n, k in self.kinds.items()}
        return {"prediction": self.session.run(None, feeds)[0].tolist()[0]}
"""


@dataclass(frozen=True)
class Asking:
    """How a peer is asked. python: that has it installed; graph: the release's; first: a row."""

    python: str
    folder: Path
    data: Path
    graph: Path
    bodies: Path
    first: Any
    port: int
    seconds: int


def mlflow(asking: Asking) -> float:
    """Requests a second of `mlflow models serve` with a scikit-learn pipeline."""
    python, model = asking.python, asking.folder / "mlflow-model"
    _train(asking, SAVE_MLFLOW, model)
    wrapped = asking.folder / "mlflow.jsonl"
    with wrapped.open("w") as file:
        file.writelines(
            f'{{"dataframe_records": [{line}]}}\n' for line in asking.bodies.read_text().splitlines()
        )
    command = [python, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", str(asking.port)]
    command += ["-w", "1", "--env-manager", "local"]
    target, path = "/invocations", {"PATH": f"{Path(python).parent}:/usr/bin:/bin"}
    body = {"dataframe_records": [asking.first]}
    with serving(command, asking.port, body, target=target, env=path) as server:
        return wrk(server, wrapped, 64, asking.seconds, target=target).rate


def bento_model(asking: Asking) -> float:
    """Requests a second of BentoML with a scikit-learn pipeline."""
    model = asking.folder / "bento.joblib"
    _train(asking, SAVE_PICKLE, model)
    return _bento(asking, BENTO_MODEL, model)


def bento_graph(asking: Asking) -> float:
    """Requests a second of BentoML with the same graph."""
    return _bento(asking, BENTO_GRAPH, asking.graph)


def _bento(asking: Asking, code: str, model: Path) -> float:
    place = asking.folder / "bento"
    place.mkdir(exist_ok=True)
    (place / "service.py").write_text(code)
    wrapped = asking.folder / "bento.jsonl"
    with wrapped.open("w") as file:
        file.writelines(f'{{"row": {line}}}\n' for line in asking.bodies.read_text().splitlines())
    bentoml = str(Path(asking.python).with_name("bentoml"))
    env = {"MODEL": str(model), "BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(asking.folder / "home")}
    command = [bentoml, "serve", "service:Peer", "--port", str(asking.port)]
    with serving(command, asking.port, {"row": asking.first}, env=env, cwd=place) as server:
        return wrk(server, wrapped, 64, asking.seconds).rate


def _train(asking: Asking, code: str, into: Path) -> None:
    command = [asking.python, "-c", code, str(asking.data), str(into)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(
            f"its model was not trained: {(done.stderr.strip() or 'no word').splitlines()[-1]}"
        )
