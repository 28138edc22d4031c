"""Features that are Python functions, end to end: trained, packaged, answered over HTTP and over files."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from said import said
from spine import PATIENT, begin, edit_rows, verdict
from worlds import homes, wine

from headrace.core.errors import SpecError, UserCodeError
from headrace.core.function import Function
from headrace.core.schema import NULL_TEXT, NULL_TIME, Type
from headrace.data.functions.call import FunctionPlan
from headrace.data.functions.code import read_sources
from headrace.project import Project
from headrace.serve.describe import describe

CODE = '''
import pyarrow.compute as pc

from helper import FACTOR


def chill(batch):
    """Wind times distance: null where one of them is."""
    return pc.multiply(pc.multiply(batch["weather.wind"], batch["distance"]), FACTOR)


def night(batch):
    return pc.greater_equal(pc.hour(batch["at"]), 20)
'''
FEATURES = (
    "  wind: weather.wind\n",
    '  chill: {python: "features.py:chill", of: [weather.wind, distance]}\n'
    '  night: {python: "features.py:night", of: [at], type: bool}\n'
    "  chill_log: ln(abs(python.chill) + 1)\n",
)


def project(folder: Path, code: str = CODE, *changes: tuple[str, str]) -> Project:
    made = begin(folder, FEATURES, PATIENT, *changes)
    (folder / "features.py").write_text(code)
    (folder / "helper.py").write_text("FACTOR = 0.5\n")
    return made


def raising(distance: str) -> str:
    """The code, which can't take one distance."""
    test = f'if {distance} in batch["distance"].to_pylist():'
    return CODE.replace(
        '    """Wind times', f'    {test}\n        raise ValueError("no such road")\n    """Wind times'
    )


def post(made: Project, row: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=made.app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/predict", json=row)

    return asyncio.run(send())


def rows(folder: Path, count: int) -> list[dict[str, Any]]:
    with (folder / "data" / "parcels.csv").open(newline="") as f:
        read = list(csv.DictReader(f))[-count:]
    return [{"at": r["at"], "depot": r["depot"], "distance": float(r["distance"])} for r in read]


def test_trained_and_served_by_the_very_code(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    result = made.run()
    assert result.status == "released"
    for gate in ("parity: scores", "parity: decisions", "skew: requests"):
        assert verdict(result, gate).outcome == "pass"
    _, manifest = made.release()
    assert {f.name: (f.label, f.reads) for f in manifest.serving.functions} == {
        "chill": ("features.py:chill", ("weather.wind", "distance")),
        "night": ("features.py:night", ("at",)),
    }
    assert "chill (features.py:chill)" in manifest.serving.not_at_edge
    kept = json.loads(made.store.get(manifest.serving.code).read_bytes())
    assert kept == {"features.py": CODE, "helper.py": "FACTOR = 0.5\n"}
    asked = rows(made.root, 30)
    before = said(post(made, asked).json())
    # The files are gone, and the release answers as before.
    (made.root / "features.py").unlink()
    (made.root / "helper.py").write_text("FACTOR = 1 / 0\n")
    assert said(post(made, asked).json()) == before
    assert [post(made, r).json()["prediction"] for r in asked[:5]] == [b["prediction"] for b in before[:5]]
    scored = made.predict(made.root / "data" / "parcels.csv", tmp_path / "out.csv")
    assert (scored.rows, scored.rejected) == (1200, 0)
    with (tmp_path / "out.csv").open(newline="") as f:
        told = list(csv.DictReader(f))[-30:]
    for one, other in zip(told, before, strict=True):
        assert float(one["probability"]) == pytest.approx(other["probability"], abs=1e-9)


def test_a_changed_helper_is_another_feature(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    first = made.run(to="features")
    again = made.run(to="features")
    (made.root / "helper.py").write_text("FACTOR = 2.0\n")
    changed = made.run(to="features")
    keys = [r.stages[-1].key for r in (first, again, changed)]
    assert keys[0] == keys[1] != keys[2]
    assert [s.status for s in changed.stages] == ["cached", "cached", "cached", "ran"]
    assert "helper.py" in json.dumps(made.show(changed.run).name) or "code" in made.show(changed.run).name


def test_done_again_it_is_the_same(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    made.run(to="evaluate")
    (made.root / "helper.py").write_text("FACTOR = 3.0\n")
    found = made.reproduce(new_environment=False)
    assert found.agrees, found
    assert "features.py, helper.py as the run kept them" in found.code


def test_a_function_that_looks_at_its_batch_is_caught_by_the_skew_gate(tmp_path: Path) -> None:
    code = CODE.replace('batch["distance"])', 'pc.subtract(batch["distance"], pc.mean(batch["distance"])))')
    result = project(tmp_path / "p", code).run()
    judged = verdict(result, "skew: requests")
    assert judged.outcome == "fail"
    assert set(judged.evidence.details["features"]) <= {"chill", "chill_log"}
    assert judged.evidence.details["features"]["chill"]["served"] == 0.0
    assert verdict(result, "parity: scores").outcome == "pass"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return pa.array([1.0] * (batch.num_rows - 1))", "1 values for"),
        ("return pa.array(['a'] * batch.num_rows)", "it gave string, and the feature is a number"),
        ("return [1.0] * batch.num_rows", "it gave a list"),
        ("return batch", "it gave 2 columns"),
        ("return np.zeros((batch.num_rows, 2))", "a numpy array of float64"),
        ("return None", "it gave a NoneType"),
    ],
)
def test_what_is_no_value_a_row_is_refused(tmp_path: Path, body: str, told: str) -> None:
    head = "import numpy as np\nimport pyarrow as pa\nimport pyarrow.compute as pc\n"
    night = CODE[CODE.index("def night") :]
    made = project(tmp_path / "p", f"{head}def chill(batch):\n    {body}\n{night}")
    result = made.run(to="features", raises=False)
    problem = result.problems[0]
    assert result.exit_code == 2
    assert problem.what.startswith("feature 'chill': features.py:chill: ")
    assert told.removeprefix("1 ") in problem.what


def test_a_function_that_raises_is_named_with_its_row(tmp_path: Path) -> None:
    made = project(tmp_path / "p", raising("17.3"))
    with (made.root / "data" / "parcels.csv").open(newline="") as f:
        at = [i for i, r in enumerate(csv.DictReader(f)) if float(r["distance"]) == 17.3]
    with pytest.raises(UserCodeError) as raised:
        made.run()
    problem = raised.value.problems[0]
    assert problem.what == "feature 'chill': features.py:chill raised ValueError: no such road"
    assert problem.where == f"features.py:9, row {at[0]} of parcels"


def test_a_server_s_log_names_the_feature_and_the_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its callers are told that the release failed: what the code says may hold what was looked up."""
    made = project(tmp_path / "p", raising("1e9"))
    assert made.run().status == "released"
    asked = rows(made.root, 3)
    asked[1]["distance"] = 1e9
    done = post(made, asked)
    assert done.status_code == 503
    assert "features.py" not in done.text and "no such road" not in done.text
    assert "feature 'chill': features.py:chill raised ValueError: no such road" in caplog.text
    assert "rows[1]" in caplog.text
    (tmp_path / "asked.csv").write_text(
        "parcel,at,depot,distance\n" + "".join(f"1,{r['at']},{r['depot']},{r['distance']}\n" for r in asked)
    )
    with pytest.raises(UserCodeError, match="row 2"):
        made.predict(tmp_path / "asked.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    made.check()
    text = (made.root / "headrace.yaml").read_text()

    def told(old: str, new: str) -> str:
        (made.root / "headrace.yaml").write_text(text.replace(old, new))
        with pytest.raises(SpecError) as raised:
            made.check()
        return "\n".join(str(p) for p in raised.value.problems)

    assert "did you mean 'chill'?" in told("features.py:chill", "features.py:chil")
    assert "there is no file feature.py" in told("features.py:chill", "feature.py:chill")
    assert "did you mean 'features.py'?" in told("features.py:chill", "feature.py:chill")
    assert "did you mean 'distance'?" in told("wind, distance]", "wind, distanc]")
    assert "uses the target's column 'late'" in told("wind, distance]", "wind, late]")
    assert "lies outside the project" in told("features.py:chill", "../features.py:chill")
    assert "names no function" in told("features.py:chill", "features.py")
    assert "names a column twice" in told("wind, distance]", "wind, weather.wind]")
    (made.root / "features.py").write_text("def chill(:\n")
    assert "features.py:1 can't be read" in told("features.py:chill", "features.py:chill")


def test_three_classes_and_values_learn_from_functions(tmp_path: Path, housing: Path) -> None:
    code = "def twice(batch):\n    import numpy as np\n    return 2 * np.asarray(batch.column(0))\n"
    for name, make in (
        ("alcohol", lambda f, c: wine(f, c)),
        ("median_income", lambda f, c: homes(f, housing, c)),
    ):
        folder = tmp_path / name
        feature = {"python": "code/own.py:twice", "of": [name]}
        made = make(folder, {"features": {name: feature}, "models": ["linear"]})
        (folder / "code").mkdir()
        (folder / "code" / "own.py").write_text(code)
        result = made.run(to="package")
        assert verdict(result, "parity: scores").outcome == "pass"


def test_a_function_may_give_a_category_and_read_a_history(tmp_path: Path) -> None:
    code = (
        "import pyarrow.compute as pc\n"
        "def place(batch):\n"
        "    return pc.utf8_upper(batch['depot'])\n"
        "def load(batch):\n"
        "    return pc.divide(batch['history.busy'], batch['distance'])\n"
    )
    made = begin(
        tmp_path / "p",
        (
            "  depot: depot\n",
            '  place: {python: "f.py:place", of: [depot], type: text}\n'
            "  busy: {aggregate: count(), by: courier, window: 2 days}\n"
            '  load: {python: "f.py:load", of: [history.busy, distance]}\n',
        ),
    )
    (made.root / "f.py").write_text(code)
    result = made.run()
    assert result.status == "released"
    assert verdict(result, "skew: requests").evidence.value == 0
    _, manifest = made.release()
    assert set(manifest.serving.event_types()) == {"at", "courier", "depot", "distance"}
    (place,) = [f for f in manifest.serving.fields if f.name == "python.place"]
    assert set(place.categories) == {"NORTH", "SOUTH"}


def test_a_function_that_reads_what_is_known_later_blocks(tmp_path: Path) -> None:
    code = "import pyarrow.compute as pc\n\ndef took(batch):\n    return pc.minute(batch['done'])\n"
    made = begin(
        tmp_path / "p",
        ("parcels: {read: data/parcels.csv}", "parcels: {read: data/parcels.csv, known_at: done}"),
        ("  wind: weather.wind\n", '  took: {python: "features.py:took", of: [done]}\n'),
    )
    (made.root / "features.py").write_text(code)
    edit_rows(made, lambda row: {**row, "done": row["at"].replace("T0", "T1")})
    result = made.run(to="inspect", raises=False)
    assert verdict(result, "leakage: feature took").outcome == "fail"


def test_what_callers_are_told(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    assert made.run().status == "released"
    found, manifest = made.release()
    told = describe(manifest, found.release)
    assert {f["name"]: f["is"] for f in told["functions"]} == {
        "python.chill": "features.py:chill(weather.wind, distance)",
        "python.night": "features.py:night(at)",
    }
    assert "no graph holds" in told["not_at_edge"]
    assert {f["name"] for f in told["fields"]} == {"at", "depot", "distance"}
    assert {f["name"]: f["table"] for f in told["looked_up"]} == {
        "python.chill": "python",
        "python.night": "python",
    }


def test_modules_beside_the_file_are_found_and_others_are_not(tmp_path: Path) -> None:
    """Packages, relative imports, imports inside a function, dataclasses: as a script would have them."""
    files = {
        "own/main.py": (
            "from __future__ import annotations\n"
            "import json, kit.deep\n"
            "from dataclasses import dataclass\n"
            "from kit import deep as again\n"
            "@dataclass\nclass Pair:\n    a: float = 2.0\n"
            "def twice(batch):\n"
            "    from late import one\n"
            "    import numpy as np\n"
            "    assert again is kit.deep and json.loads('1') == one()\n"
            "    return np.asarray(batch.column(0)) * Pair().a * kit.deep.factor()\n"
        ),
        "own/late.py": "def one():\n    return 1\n",
        "own/kit/__init__.py": "",
        "own/kit/deep.py": (
            "from .base import HALF\nfrom . import base\ndef factor():\n    return HALF + base.HALF\n"
        ),
        "own/kit/base.py": "HALF = 0.5\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    function = Function("two", "own/main.py", "twice", ("x",), (Type.NUMBER,), Type.NUMBER)
    sources = read_sources(tmp_path, [function])
    assert set(sources) == set(files)
    before = set(sys.modules)
    plan = FunctionPlan((function,), sources)
    values = plan.compute({"x": np.array([1.0, np.nan, np.inf])}, 3)["python.two"]
    assert values.tolist()[0] == 2.0
    assert np.isnan(values[1:]).all()
    assert not {"kit", "late", "main"} & (set(sys.modules) - before)


def test_what_values_may_be_given(tmp_path: Path) -> None:
    def call(body: str, kind: Type) -> list[Any]:
        text = f"import numpy as np\nimport pyarrow as pa\ndef f(batch):\n    return {body}\n"
        function = Function("f", "f.py", "f", ("t", "b", "w"), (Type.TIME, Type.BOOL, Type.TEXT), kind)
        feeds = {
            "t": np.array([1_700_000_000_000_000, NULL_TIME]),
            "b": np.array([1.0, np.nan]),
            "w": np.array(["é", NULL_TEXT], dtype=object),
        }
        return list(FunctionPlan((function,), {"f.py": text}).compute(feeds, 2)["python.f"])

    assert call("pa.array([1, None], pa.int8())", Type.NUMBER)[0] == 1.0
    assert call("pa.chunked_array([[True], [None]])", Type.BOOL)[0] == 1.0
    assert np.isnan(call("pa.nulls(2)", Type.NUMBER)).all()
    assert call("batch['w'].dictionary_encode()", Type.TEXT) == ["é", NULL_TEXT]
    assert call("pa.table({'x': batch['w']})", Type.TEXT) == ["é", NULL_TEXT]
    assert call("batch['t'].is_null()", Type.BOOL) == [0.0, 1.0]
    assert call("np.array([True, False])", Type.BOOL) == [1.0, 0.0]
    for body, kind, told in (
        ("pa.array(['a\\0b', None])", Type.TEXT, "U\\+0000"),
        ("np.array(['a', 'b'])", Type.TEXT, "numpy array of <U1"),
        ("batch['b']", Type.NUMBER, "it gave bool, and the feature is a number"),
        ("batch['t']", Type.NUMBER, "timestamp"),
    ):
        with pytest.raises(UserCodeError, match=told):
            call(body, kind)
    with pytest.raises(UserCodeError, match="ModuleNotFoundError: No module named"):
        FunctionPlan(
            (Function("f", "f.py", "f", ("b",), (Type.BOOL,), Type.BOOL),), {"f.py": "import nowhere_\n"}
        ).load()


def test_a_champion_is_compared_by_its_own_code(tmp_path: Path) -> None:
    """A challenger whose function says nothing any more, beside a champion whose did."""
    made = begin(
        tmp_path / "p",
        ("  wind: weather.wind\n", '  blow: {python: "features.py:blow", of: [weather.wind]}\n'),
        ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {one_change: false}"),
    )
    file = made.root / "features.py"
    file.write_text("def blow(batch):\n    return batch.column(0)\n")
    assert made.run().status == "released"
    file.write_text("import numpy as np\ndef blow(batch):\n    return np.zeros(batch.num_rows)\n")
    text = (made.root / "headrace.yaml").read_text()
    more = "  new: {aggregate: count(), by: depot, window: 3 h}\n  depot: depot\n"
    (made.root / "headrace.yaml").write_text(text.replace("  depot: depot\n", more))
    waiver = {"gate": "ship-at", "reason": "a test", "by": "me@example.com", "until": "2027-01-01"}
    judged = verdict(made.run(waive=[waiver]), "champion")
    assert judged.outcome == "fail"
    assert judged.evidence.value < -0.1
