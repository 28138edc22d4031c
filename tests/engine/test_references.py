"""What traffic is compared with: made with the release, of rows that the model was not fitted on."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coded import count_codes
from spine import AUTHOR, begin
from worlds import homes, wine

from headrace.core.clock import micros
from headrace.core.codec import from_plain, to_plain
from headrace.core.errors import SpecError
from headrace.core.schema import NULL_TEXT, Type
from headrace.core.task import Kind, Task
from headrace.core.watching import Family, Window
from headrace.engine import references, releases
from headrace.engine.context import Context
from headrace.engine.watch_plan import per_month
from headrace.expr import parse
from headrace.logs.read import tables
from headrace.project import Project
from headrace.release.manifest import Manifest
from headrace.release.watching import WatchPlan
from headrace.summary.bins import FIRST, UNKNOWN
from headrace.summary.counts import count, no_rows
from headrace.summary.reference import Reference, ReferenceRows, read_reference, read_rows
from headrace.watch.arms import Arms
from headrace.watch.chunks import of_table
from headrace.watch.labelling import Judge
from headrace.watch.rows import live_rows
from headrace.watch.watched import Watched

FEATURES = """features:
  hour: hour(at)
  depot: depot
  far: distance > 25
  wind: weather.wind
  gust: {aggregate: max(wind), over: weather, by: depot, window: 6 h}
  chill: {python: "features.py:chill", of: [weather.wind, distance]}
"""
CODE = """
import pyarrow.compute as pc


def chill(batch):
    return pc.multiply(batch["weather.wind"], batch["distance"])
"""
WATCH = """
watch:
  window: 6 h
  least: 50
  ignore: [distance]
  slices: [depot, "distance > 25", "hour(at)", courier]
  costs: {machine_hour: 0.2, per_1000: 1, unit: EUR}
  health: {silent: 2 h}
alerts: {budget: 1 / week}
"""


def manifest_of(project: Project) -> Manifest:
    result = project.run()
    assert result.status == "released", result.problems
    return releases.load_manifest(project.store, releases.find(releases.view(project.store), result.release))


def read(project: Project, plan: WatchPlan) -> tuple[Reference, ReferenceRows]:
    data = project.store.get(plan.reference).read_bytes()
    assert len(data) < 100_000
    return read_reference(data), read_rows(project.store.get(plan.rows).read_bytes())


def adds_up(reference: Reference, rows: ReferenceRows) -> None:
    """Rows, blocks and the whole tell the same, as no row is left out of these small tables."""
    whole = reference.made()
    kept = count_codes(reference.bins, rows.codes)
    assert (kept.codes == whole.codes).all() and rows.rows == whole.rows == rows.sizes.sum()
    assert (rows.blocks.sum(axis=0) == whole.codes).all()
    for name in reference.bins.names:
        told = int(whole.of(reference.bins, name).sum())
        assert told == (reference.parts["validation"] if name in reference.outputs else reference.rows)
    assert (np.diff(rows.time) >= 0).all() and rows.answered.sum() == reference.parts["validation"]
    first = reference.bins.index(reference.outputs[0])
    assert ((rows.codes[:, first] == UNKNOWN) == ~rows.answered).all()
    assert not (rows.codes[:, :first] == UNKNOWN).any()


def counted_again(
    project: Project, manifest: Manifest, reference: Reference, rows: ReferenceRows, folder: Path
) -> None:
    """The validation rows, answered as a batch and logged, are counted as in the reference: what is logged
    is what the graph read, column by column."""
    mine = set(rows.time[rows.answered].tolist())
    with (project.root / "data" / "parcels.csv").open(newline="") as f:
        read = [r for r in csv.DictReader(f) if micros(datetime.fromisoformat(r["at"])) in mine and r["late"]]
    assert len(read) == len(mine)
    with (folder / "in.csv").open("w", newline="") as f:
        out = csv.DictWriter(f, ["at", "depot", "distance"], extrasaction="ignore")
        out.writeheader()
        out.writerows(read)
    project.score(folder / "in.csv", folder / "out", log=True)
    sources = {f.name: "input" if f.source == "event" else "filled" for f in manifest.serving.fields}
    bins, counts = reference.bins, no_rows(reference.bins)
    for table in tables(project.root / ".headrace" / "log"):
        chunk = of_table(table)
        columns = {
            c.name: chunk.values(sources.get(c.name, "answer"), c.name, c.type, "UTC") for c in bins.columns
        }
        counts = counts + count(bins, {n: v for n, v in columns.items() if v is not None}, chunk.rows)
    assert counts.rows == len(read)
    own = count_codes(bins, rows.codes[rows.answered])
    for name in bins.names:
        assert counts.of(bins, name).tolist() == own.of(bins, name).tolist(), name


def sliced_again(project: Project, manifest: Manifest, rows: ReferenceRows) -> None:
    """Slices that are expressions have in logged rows the values that they have in the reference, and are
    measured: here all answers are wrong where one is true, and right elsewhere."""
    log = project.root / ".headrace" / "log"
    chunks = [of_table(table) for table in tables(log)]
    (who,) = {w for c in chunks for w in c.who}
    watched = Watched(who.release, manifest, project.store)
    moments = np.concatenate([c.times for c in chunks])
    window = Window(who.release, who.arm, int(moments.min()), int(moments.max()) + 1, len(moments))
    live = live_rows(log, watched, Arms([]), window, {})
    mine = rows.sliced[rows.answered]
    assert live.sliced.shape == mine.shape
    for i in range(mine.shape[1]):
        assert np.array_equal(np.bincount(live.sliced[:, i]), np.bincount(mine[:, i]))
    judge = Judge(watched)
    far, said = live.sliced[:, 0] == FIRST + 1, live.decision == 1
    assert 30 < far.sum() < live.rows - 30
    truths = dict(zip(live.ids, np.where(far, ~said, said).tolist(), strict=True))
    told = judge.by_labels(Family.SLICES, judge.labelled(live, truths), live.rows, 0.05)
    found = {r.of: r for r in told}
    assert (found["distance > 25 = true"].value, found["distance > 25 = false"].value) == (0.0, 1.0)
    assert [r.of for r in told if r.why_none and r.value is None] == ["courier"]
    assert any(name.startswith("hour(at) = ") for name in found)
    assert judge.estimated(live, 0.05)[0].value is not None


def test_every_kind_of_column_has_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "p"
    project = begin(folder, ("ship_at: 0.3", "ship_at: 0.1"))
    text = (folder / "headrace.yaml").read_text()
    start, end = text.index("features:"), text.index("models:")
    (folder / "headrace.yaml").write_text(text[:start] + FEATURES + text[end:] + WATCH)
    (folder / "features.py").write_text(CODE)
    manifest = manifest_of(project)
    plan = manifest.watch
    assert plan is not None
    reference, rows = read(project, plan)
    adds_up(reference, rows)
    types = {c.name: c.type for c in reference.bins.columns}
    assert types == {f.name: f.type for f in manifest.serving.fields} | {
        "prediction": Type.BOOL,
        "probability": Type.NUMBER,
    }
    assert {f.source for f in manifest.serving.fields} == {"event", "weather", "history", "python"}
    assert {"at", "history.gust", "python.chill"} < set(types)
    assert reference.metric == "f1" and reference.value is not None and reference.low is not None
    assert (plan.window_us, plan.least, plan.ignore) == (6 * 3_600_000_000, 50, ("distance",))
    assert plan.slices == ("depot", "distance > 25", "hour(at)") and project.store.has(plan.graph)
    assert reference.sliced.names == ("distance > 25", "hour(at)")
    assert "courier" in plan.not_sliced["courier"]
    assert plan.budget == pytest.approx(4.348, abs=1e-3) and plan.health.silent_us == 7_200_000_000
    assert plan.prices is not None and (plan.prices.per_1000, plan.prices.unit) == (1.0, "EUR")
    counted_again(project, manifest, reference, rows, tmp_path)
    sliced_again(project, manifest, rows)
    # No row of the test has been looked at: by time they come last.
    with (folder / "data" / "parcels.csv").open(newline="") as f:
        times = sorted(datetime.fromisoformat(r["at"]) for r in csv.DictReader(f) if r["late"])
    sealed = times[-(len(times) // 5) + 5]
    assert reference.last is not None and reference.last < sealed.timestamp() * 1e6
    # The same work is the same bytes, also where it is read in two passes.
    context = Context(project.root, project.store, project.spec(), project._clock, AUTHOR, run="")
    made = {s.name: s.output for s in project.run().stages}
    sliced = {t: parse(t, types, zone=context.zone) for t in reference.sliced.names}
    assert references.make_reference(context, made, sliced) == (plan.reference, plan.rows)
    monkeypatch.setattr(references, "BINNED", 200)
    other, kept = references.make_reference(context, made, sliced)
    two = read_reference(project.store.get(other).read_bytes())
    adds_up(two, read_rows(project.store.get(kept).read_bytes()))
    assert two.rows == reference.rows
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def test_more_than_two_classes(tmp_path: Path) -> None:
    project = wine(tmp_path)
    manifest = manifest_of(project)
    plan = manifest.watch
    assert plan is not None
    reference, rows = read(project, plan)
    adds_up(reference, rows)
    plain: dict[str, Any] = to_plain(manifest)
    plain.pop("watch")
    assert from_plain(plain, Manifest).watch is None  # as manifests were before
    assert reference.outputs == ("prediction", *(f"probability[class_{i}]" for i in range(3)))
    assert set(reference.bins.column("prediction").categories) == {"class_0", "class_1", "class_2"}
    assert rows.score.shape == (rows.rows, 3) and not rows.timed
    right = rows.decision[rows.answered] == rows.truth[rows.answered]
    assert right.mean() > 0.7 and reference.first is None
    assert plan.zone == "UTC" and plan.graph == ""
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


def test_regression(tmp_path: Path, housing: Path) -> None:
    project = homes(tmp_path, housing, {"evaluate": {"slices": ["ocean_proximity"]}}, rows=600)
    plan = manifest_of(project).watch
    assert plan is not None
    reference, rows = read(project, plan)
    adds_up(reference, rows)
    assert reference.outputs == ("prediction",)
    assert reference.bins.column("prediction").type is Type.NUMBER and (rows.decision == -1).all()
    kept = rows.answered
    assert np.corrcoef(rows.score[kept], rows.truth[kept])[0, 1] > 0.5
    assert any(s.value is not None and s.low is not None for s in reference.slices)
    project.store.close()  # type: ignore[attr-defined]  # the embedded store's


@pytest.mark.parametrize(
    ("watch", "told"),
    [
        ("{ignore: [distnace]}", "there is no column 'distnace'"),
        ("{slices: [depto]}", "depto"),
        ("{slices: [at]}", "a time, which has no groups"),
        ("{window: 0 h}", "no time at all"),
        ("{keep: 1 h}", "less than a window"),
        ("{costs: {per_1000: 1, unit: EUR}}", "nothing adds to"),
        ("{costs: {prediction: 1}}", "no currency"),
        ("{off: [drfit]}", "drfit"),
        ("{least: 1}", "watch.least"),
        ("{rows: 3}", "watch.rows"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, watch: str, told: str) -> None:
    project = begin(tmp_path / "p", ("models: [tree]", f"models: [tree]\nwatch: {watch}"), rows=60)
    with pytest.raises(SpecError) as error:
        project.check()
    assert any(told in p.what for p in error.value.problems), error.value.problems
    assert all("headrace.yaml:" in p.where for p in error.value.problems)


def test_answers_have_the_types_that_callers_see() -> None:
    got = {"decision": np.array([1, 0, 1]), "probability": np.array([0.9, 0.1, 0.6])}
    numbers = Task(Kind.BINARY, (0.0, 1.0))
    assert references.output_types(numbers) == {"prediction": Type.NUMBER, "probability": Type.NUMBER}
    assert references.answers_of(numbers, got)["prediction"].tolist() == [1.0, 0.0, 1.0]
    away = got | {"abstain": np.array([False, False, True])}
    told = references.answers_of(Task(Kind.BINARY, ("no", "yes")), away)["prediction"]
    assert told.tolist() == ["yes", "no", NULL_TEXT]
    truths = references.answers_of(Task(Kind.BINARY, (False, True)), away)["prediction"]
    assert truths[:2].tolist() == [1.0, 0.0] and np.isnan(truths[2])
    many = Task(Kind.MULTICLASS, tuple(float(i) for i in range(30)))
    got = {"decision": np.array([29]), "probability": np.full((1, 30), 1 / 30)}
    names = list(references.output_types(many))
    assert names[:2] == ["prediction", "probability[0]"] and len(names) == 21
    assert list(references.answers_of(many, got)) == names


def test_budgets_are_alarms_a_month() -> None:
    assert per_month("0.5 per month") == 0.5
    assert per_month("2 / day") == pytest.approx(2 * 30.4375)
