"""5,000,000 rows × 12 columns: a whole `headrace run` against a bare script on the same file.

The bare script is what one would write by hand without any of the guarantees: Arrow → LightGBM → predict →
metrics. Boosting alone, one holdout, no tuning, the same parameters and parts.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measured import Measured, apart, measured
from benchmarks.rows import Row, within

ROWS = 5_000_000
COLUMNS = 12

BARE = """
import json, sys
import lightgbm as lgb, numpy as np, pyarrow.parquet as pq
table = pq.read_table("data.parquet")
columns = [c for c in table.column_names if c != "target"]
y = table.column("target").to_numpy()
part = np.random.default_rng(0).random(len(y))
train, validation, test = part < 0.7, (part >= 0.7) & (part < 0.85), part >= 0.85
X = table.select(columns)
params = json.loads(sys.argv[1])
rounds = params.pop("n_estimators")
data = lgb.Dataset(X.filter(train), label=y[train])
model = lgb.train(params, data, num_boost_round=rounds)
for rows in (validation, test):
    p = model.predict(X.filter(rows))
    truth = y[rows] > 0.5
    order = np.argsort(p, kind="stable")
    ranks = np.empty(len(p)); ranks[order] = np.arange(1, len(p) + 1)
    n1, n0 = truth.sum(), (~truth).sum()
    auc = (ranks[truth].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    loss = -np.mean(np.where(truth, np.log(p), np.log1p(-p)))
    f1 = 2 * (truth & (p > 0.5)).sum() / (truth.sum() + (p > 0.5).sum())
    print(json.dumps({"auc": float(auc), "log_loss": float(loss), "f1": float(f1)}))
"""

SPEC = """
headrace: 1
project: large
problem:
  objective: measure the whole run
  decision: none
  task: binary
  target: target > 0.5
  metric: roc_auc
  owners: {default: bench@example.com}
  approval: self
data:
  events: rows
  tables: {rows: {read: data.parquet}}
split: {by: random, validation: 15%, test: 15%}
features: {FEATURES}
models: [{use: boosting, params: {trees: 100}}]
cv: {holdout: true}
limits: {threads: 2, memory: 1 GB}
"""


def write_data(folder: Path) -> None:
    """Eleven columns of noise with a signal, and the target; in row groups, as a real export would be."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(COLUMNS - 1)]
    schema = pa.schema([*[(n, pa.float64()) for n in names], ("target", pa.float64())])
    with pq.ParquetWriter(folder / "data.parquet", schema) as out:
        for _ in range(10):
            X = rng.normal(size=(ROWS // 10, COLUMNS - 1))
            logit = X[:, 0] + X[:, 1] * X[:, 2] - np.abs(X[:, 3]) + 0.5 * np.sin(3 * X[:, 4])
            y = (rng.random(len(X)) < 1 / (1 + np.exp(-logit))).astype(np.float64)
            out.write_table(pa.table([*X.T.copy(), y], schema=schema))


def parameters() -> dict[str, object]:
    """The candidate's own defaults in LightGBM's terms, so that both fit the same model."""
    from headrace.core.task import Kind, Task
    from headrace.learn.registry import load_candidate

    defaults = dict(load_candidate("boosting").defaults(Task(Kind.BINARY, (False, True)), ROWS, COLUMNS - 1))
    return {
        "objective": "binary",
        "n_estimators": 100,
        "learning_rate": defaults["learning_rate"],
        "num_leaves": defaults["leaves"],
        "min_data_in_leaf": defaults["min_leaf"],
        "num_threads": 2,
        "seed": 0,
        "verbosity": -1,
    }


def run() -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-large-"))
    try:
        apart(f"import pathlib, benchmarks.bench_large as b; b.write_data(pathlib.Path({str(folder)!r}))")
        features = "{" + ", ".join(f"x{i}: x{i}" for i in range(COLUMNS - 1)) + "}"
        (folder / "headrace.yaml").write_text(SPEC.replace("{FEATURES}", features))
        (folder / "bare.py").write_text(BARE)
        bare = measured([sys.executable, "bare.py", json.dumps(parameters())], cwd=folder)
        command = str(Path(sys.executable).with_name("headrace"))
        ours = measured([command, "run", "--json"], cwd=folder)
        return rows(bare, ours)
    finally:
        shutil.rmtree(folder)


def rows(bare: Measured, ours: Measured) -> list[Row]:
    stages = {s["name"]: s["seconds"] for s in json.loads(ours.output)["stages"]}
    slowest = ", ".join(f"{n} {s:.1f}" for n, s in stages.items() if s >= 1)
    what = "whole run, 5M × 12"
    return [
        within(
            "large",
            f"{what} ({slowest} s)",
            ours.seconds,
            bare.seconds,
            "s",
            floor=f"bare script {bare.seconds:.1f} s",
            times=1.6,
            of="time",
        ),
        within(
            "large",
            f"{what}: peak memory",
            ours.megabytes,
            bare.megabytes,
            "MB",
            floor=f"bare script {bare.megabytes:.0f} MB",
            times=1.5,
            of="memory",
        ),
    ]
