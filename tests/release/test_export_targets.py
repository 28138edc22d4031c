"""Recipes and objects are what those who read them take: hadolint, Kubernetes, mypy, and a server."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headrace.cli.root import cli
from headrace.core.schema import Type
from headrace.core.task import Kind, Task
from headrace.engine.export import artifacts, pinned
from headrace.project import Project
from headrace.release.manifest import Field, Manifest, Sureness
from headrace.release.plan import Plan, Speed
from headrace.release.targets.client import client_file, identifiers
from headrace.release.targets.compose import compose_file
from headrace.release.targets.deploy import Deploy, deploy, replicas, slug
from headrace.release.targets.docker import dockerfile, requirements
from headrace.release.targets.kubernetes import kubernetes_files, tokens_secret

PINS = {"numpy": "2.4.6", "onnxruntime": "1.31.1"}
FOREIGN = {"servicemonitor.yaml", "prometheusrule.yaml"}
"""Objects of Prometheus' operator: Kubernetes itself has no schema of them."""


def program(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed")
    return str(path)


def about(manifest: Manifest, *, tokens: bool = True, size: int = 10_000) -> Deploy:
    return deploy(
        manifest,
        "r7",
        python="3.11.7",
        pins=PINS,
        wheel="headrace-0.1.0-py3-none-any.whl",
        size=size,
        tokens=tokens,
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    from spine import _template

    _, found = Project(_template(tmp_path_factory.getbasetemp())).release()
    return found


def planned(manifest: Manifest, **plan: Any) -> Manifest:
    return replace(manifest, plan=replace(manifest.plan, **plan))


def test_the_recipe_is_sound(manifest: Manifest, tmp_path: Path) -> None:
    text = dockerfile(about(manifest))
    (tmp_path / "Dockerfile").write_text(text)
    done = subprocess.run(
        [program("hadolint"), "--no-color", str(tmp_path / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")
    lines = text.splitlines()
    assert lines.index("USER 10001:10001") > max(i for i, line in enumerate(lines) if line.startswith("FROM"))
    assert all(
        re.fullmatch(r"FROM python:3\.11\.7-slim-bookworm( AS build)?", x) for x in lines if x[:4] == "FROM"
    )
    assert requirements(about(manifest)).splitlines()[1:] == ["numpy==2.4.6", "onnxruntime==1.31.1"]


def test_kubernetes_takes_the_objects(manifest: Manifest, tmp_path: Path) -> None:
    made = planned(manifest, p50_us=2000, p99_us=10_000, throughput=500.0)
    hashed = replace(made, serving=replace(made.serving, pii_key="0123456789abcdef"))
    for name, found, claim in (("plain", made, ""), ("hashed", hashed, "logs")):
        told = about(found)
        files = {**kubernetes_files(told, claim=claim), "tokens.yaml": tokens_secret(told, '[{"a": 1}]')}
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        known = [str(folder / f) for f in files if f not in FOREIGN]
        done = subprocess.run(
            [program("kubernetes-validate"), "--strict", *known],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout + done.stderr).count("passed") == len(known) == 6
    (tmp_path / "wrong.yaml").write_text(files["service.yaml"].replace("targetPort: http", "targetPort: [1]"))
    wrong = subprocess.run(
        [program("kubernetes-validate"), "--strict", str(tmp_path / "wrong.yaml")],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert wrong.returncode != 0


def test_objects_fit_each_other_and_the_targets(manifest: Manifest) -> None:
    speed = Speed(900.0, 4000.0, capacity=120.0)
    told = about(planned(manifest, p50_us=2000, p99_us=10_000, throughput=500.0, speed=speed))
    files = {n: yaml.safe_load(t) for n, t in kubernetes_files(told).items()}
    labels = files["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    for name, path in (
        ("deployment.yaml", ("selector", "matchLabels")),
        ("service.yaml", ("selector",)),
        ("pdb.yaml", ("selector", "matchLabels")),
        ("networkpolicy.yaml", ("podSelector", "matchLabels")),
    ):
        wanted = files[name]["spec"]
        for key in path:
            wanted = wanted[key]
        assert wanted.items() <= labels.items(), name
    assert (
        files["servicemonitor.yaml"]["spec"]["selector"]["matchLabels"]
        == files["service.yaml"]["metadata"]["labels"]
    )
    scale = files["hpa.yaml"]["spec"]
    assert scale["scaleTargetRef"]["name"] == files["deployment.yaml"]["metadata"]["name"] == "parcels"
    assert (scale["minReplicas"], scale["maxReplicas"]) == (6, 18)  # 500 / (.7 × 120) = 5.95
    assert "replicas" not in files["deployment.yaml"]["spec"]
    (container,) = files["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {p: container[p]["httpGet"]["path"] for p in ("livenessProbe", "readinessProbe")} == {
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    alerts = {
        r["alert"]: r["expr"] for g in files["prometheusrule.yaml"]["spec"]["groups"] for r in g["rules"]
    }
    assert alerts.keys() == {"HeadraceErrors", "HeadraceP50", "HeadraceP99"}
    assert alerts["HeadraceP99"].endswith("> 0.01")
    assert files["networkpolicy.yaml"]["spec"]["egress"] == []


@pytest.mark.parametrize(
    ("plan", "count"),
    [
        (Plan(), 2),
        (Plan(replicas=1), 1),
        (Plan(throughput=500.0), 2),
        (Plan(throughput=500.0, speed=Speed(1.0, 1.0, 10_000.0)), 2),
        (Plan(throughput=7000.0, speed=Speed(1.0, 1.0, 1000.0)), 10),
        (Plan(throughput=7001.0, speed=Speed(1.0, 1.0, 1000.0)), 11),
    ],
)
def test_replicas_follow_the_throughput(plan: Plan, count: int) -> None:
    assert replicas(plan)[0] == count


def test_compose_is_read_only_and_bound_to_this_machine(manifest: Manifest) -> None:
    made = yaml.safe_load(compose_file(about(manifest)))
    assert made.keys() == {"name", "services", "volumes"}
    server = made["services"]["server"]
    # The keys that the Compose specification has for a service, of those that are used.
    assert server.keys() <= {
        *("image", "build", "restart", "read_only", "user", "cap_drop", "security_opt", "tmpfs", "ports"),
        *("environment", "volumes", "stop_grace_period", "deploy", "logging"),
    }
    assert server["read_only"] is True
    assert server["ports"] == ["127.0.0.1:8000:8000"]
    named = {v.split(":")[0] for v in server["volumes"] if not v.startswith((".", "$"))}
    assert named == set(made["volumes"])
    hashed = replace(manifest, serving=replace(manifest.serving, pii_key="0123456789abcdef"))
    assert "HEADRACE_PII_KEY_FILE" in compose_file(about(hashed))


def test_names_are_those_of_dns() -> None:
    assert slug("Flight delays (2013)") == "flight-delays-2013"
    assert slug("2013") == "headrace-2013"
    assert slug("Überflüge") == "headrace-berfl-ge" or slug("Überflüge") == "berfl-ge"
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", slug("x" * 80 + "-"))
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", slug("日本"))


def test_pins_are_complete() -> None:
    found = pinned(["onnxruntime"])
    assert {"numpy", "flatbuffers", "packaging", "protobuf", "onnxruntime"} == set(found)


def test_only_what_serving_reads_goes_along(finished: Project, tmp_path: Path) -> None:
    made = finished.export("docker", tmp_path / "out")
    _, manifest = finished.release()
    kept = {p.name for p in (tmp_path / "out" / "release" / "artifacts").iterdir()}
    assert {manifest.serving.graph, manifest.serving.reference} - {""} < kept
    assert not kept & {t.artifact for t in manifest.serving.lookups}  # they are in the online store
    assert kept - set(artifacts(manifest, online=True)) == {finished.release()[0].manifest}
    assert set(artifacts(manifest, online=False)) >= {t.artifact for t in manifest.serving.lookups}
    (wheel,) = (tmp_path / "out" / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        recorded = archive.read(next(n for n in names if n.endswith("RECORD"))).decode().splitlines()
    assert [r.split(",")[0] for r in recorded] == names
    assert not [n for n in names if "__pycache__" in n or "/." in n]
    assert len(made.files) == len(set(made.files))


def strict(path: Path) -> None:
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(path.parent / "cache"), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def odd(manifest: Manifest, kind: Kind, classes: tuple[Any, ...], *, sure: bool) -> Manifest:
    """A release with names and classes that no one would choose."""
    names = {
        "class": Type.TEXT,
        "2nd": Type.NUMBER,
        'a "b"\n\\': Type.NUMBER,
        "über": Type.BOOL,
        "float": Type.TIME,
        "plain": Type.NUMBER,
        "a__b": Type.NUMBER,
        "a  b": Type.NUMBER,
    }
    serving = replace(
        manifest.serving,
        task=Task(kind, classes),
        fields=tuple(Field(n, t) for n, t in names.items()),
        lookups=(),
        keys={},
        treated={},
        histories=(),
        time=None,
        sureness=Sureness(0.9, abstain=kind is not Kind.REGRESSION) if sure else None,
    )
    return replace(manifest, serving=serving, project='x """ y', columns={"class": 'what "it"\nis'})


@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        (Kind.REGRESSION, ()),
        (Kind.BINARY, (False, True)),
        (Kind.MULTICLASS, ("early", "on time", 'la"te')),
    ],
)
def test_clients_are_typed_whatever_the_release(
    kind: Kind, classes: tuple[Any, ...], manifest: Manifest, tmp_path: Path
) -> None:
    path = tmp_path / f"client_{kind.value}.py"
    path.write_text(client_file(odd(manifest, kind, classes, sure=True), "r7"), encoding="utf-8")
    strict(path)
    module = load(path)
    row = module.Row(
        **dict.fromkeys(("class_", "field_2nd", "a_b", "plain_", "a__b", "a_b_", "ber", "float_"), None)
    )
    assert row.plain().keys() == {f.name for f in odd(manifest, kind, classes, sure=True).serving.fields}
    with pytest.raises(FrozenInstanceError):
        row.class_ = "x"
    told = {"id": "1", "prediction": None, "release": None, "arm": "champion", "by": "rule: x", "new": 1}
    answer = module.Answer.of(told)
    assert (answer.by, answer.prediction, dict(answer.more)) == ("rule: x", None, {"new": 1})


def test_identifiers_are_distinct() -> None:
    found = identifiers(["a b", "a_b", "a-b", "if", "", "日本", "2"])
    assert len(set(found.values())) == 7
    assert all(name.isidentifier() for name in found.values())


@contextmanager
def busy(*statuses: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[float]]]:
    """A server that answers so, then as it should; and how many were asked."""
    asked: list[Any] = []
    waiting = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.headers)
            self.rfile.read(int(self.headers["Content-Length"]))
            status, headers = waiting.pop(0) if waiting else (200, {})
            told = {
                "id": "1",
                "prediction": True,
                "probability": 0.5,
                "release": "r",
                "arm": "champion",
                "by": "model",
            }
            body = json.dumps(told if status == 200 else {"detail": "busy", "errors": []}).encode()
            if status == 0:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_clients_wait_where_servers_are_busy(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client_busy.py"
    path.write_text(client_file(manifest, "r7"), encoding="utf-8")
    module: Any = load(path)
    waited: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waited.append)
    row = module.Row(at="2026-01-01 10:00", depot="north", distance=1.0)
    with (
        busy((429, {"Retry-After": "2"}), (503, {})) as (url, asked),
        module.Client(url, token="hr_1_x") as client,
    ):
        assert client.predict(row).prediction is True
        assert [h["Authorization"] for h in asked] == ["Bearer hr_1_x"] * 3
    assert 2 <= waited[0] <= 2.5
    assert 0 < waited[1] < 1
    with busy(*[(429, {"Retry-After": "0"})] * 9) as (url, asked), module.Client(url, retries=2) as client:
        with pytest.raises(module.Refused) as refused:
            client.predict(row)
        assert (refused.value.status, len(asked)) == (429, 3)
    with busy((429, {"Retry-After": "3600"})) as (url, asked), module.Client(url) as client:
        with pytest.raises(module.Refused, match="stayed busy"):
            client.predict(row)
        assert len(asked) == 1
    with busy((422, {})) as (url, asked), module.Client(url) as client:
        with pytest.raises(module.Refused) as refused:
            client.predict(row)
        assert (refused.value.status, len(asked)) == (422, 1)
    with pytest.raises(ValueError, match="no address"):
        module.Client("localhost:8000")
    with module.Client("http://127.0.0.1:9", retries=0) as client:
        assert client.ready() is False
        with pytest.raises(ConnectionRefusedError):
            client.predict(row)


def test_the_command(finished: Project, tmp_path: Path) -> None:
    run = CliRunner().invoke
    told = run(cli, ["export", "kubernetes", "-C", str(finished.root), "-o", str(tmp_path / "k"), "--json"])
    assert told.exit_code == 0, told.output
    assert {"kubernetes/deployment.yaml", "Dockerfile", "release/online.db"} <= set(
        json.loads(told.output)["files"]
    )
    told = run(cli, ["export", "client", "-C", str(finished.root), "-o", str(tmp_path / "c.py")])
    assert "1 file" in told.output
    assert (
        run(
            cli, ["export", "docker", "-C", str(finished.root), "-o", str(tmp_path / "d"), "--claim", "x"]
        ).exit_code
        == 2
    )
