"""Personal data through whole runs: blocked before it is kept, treated before it is kept, proven in the
manifest, and treated alike when the release answers."""

import csv
import json
import sqlite3
import zlib

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from spine import begin, clock, edit_rows, edit_spec, fresh, verdict

from headrace.cli.root import cli
from headrace.core.errors import SpecError, UserError
from headrace.data.read import plan
from headrace.project import Project
from headrace.serve.answer import Answerer

__all__ = ["clock", "fresh"]
KEY = "a-secret-that-is-long-enough-for-tests"
MAIL, CARD, IBAN = "grace.hopper@navy.example.mil", "4012 8888 8888 1881", "DE89370400440532013000"
PHONE, SSN = "+49 151 2345 6789", "123-45-6789"
TOKENS = (MAIL, CARD, IBAN, PHONE, SSN, "Hopper-Murray")


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("HEADRACE_PII_KEY", KEY)


def plant(project: Project) -> None:
    """Personal columns in the events, tokens in one row of free text, and more in the side table."""

    def parcel(row: dict[str, str]) -> dict[str, str]:
        i = int(row["parcel"])
        note = f"ring twice, {CARD}, or write to {IBAN}" if i == 777 else "left at the door"
        mail = MAIL if i == 5 else f"c{i % 41}@firma.example.org"
        return {**row, "email": mail, "note": note, "surname": f"Hopper-Murray{i % 300}"}

    edit_rows(project, parcel)
    edit_rows(
        project, lambda r: {**r, "contact": PHONE if r["depot"] == "north" else f"ssn {SSN}"}, "weather"
    )


DECLARED = (
    "  pii: {email: hash, note: {do: mask, length: 24}, surname: drop, weather.contact: mask}\n  expect:"
)


def held(project: Project) -> dict[str, list[str]]:
    """Where in the store's bytes tokens are: raw, inflated, and in the columns of Parquet files."""
    found: dict[str, list[str]] = {}
    for file in [p for p in (project.root / ".headrace").rglob("*") if p.is_file()]:
        raw = file.read_bytes()
        texts = [raw]
        if raw[:4] == b"PAR1":
            table = pq.read_table(file)
            texts += [
                json.dumps(table.column(c).to_pylist(), default=str).encode() for c in table.column_names
            ]
        if raw[:2] in (b"x\x9c", b"\x1f\x8b"):
            texts.append(zlib.decompress(raw, 47))
        hits = [t for t in (*TOKENS, KEY) if any(t.encode() in text for text in texts)]
        if hits:
            found[str(file)] = hits
    with sqlite3.connect(project.root / ".headrace" / "ledger.db") as db:
        tables = [r[0] for r in db.execute("select name from sqlite_master where type = 'table'")]
        everything = json.dumps([db.execute(f"select * from {t}").fetchall() for t in tables], default=str)
    hits = [t for t in (*TOKENS, KEY) if t in everything]
    return {**found, "ledger": hits} if hits else found


def test_undeclared_personal_data_blocks_and_is_not_kept(fresh):
    plant(fresh)
    result = fresh.run()
    assert result.status == "blocked"
    told = verdict(result, "pii")
    assert told.evidence.details["undeclared"] == ["email", "note", "surname", "weather.contact"]
    assert "data.pii: {email: drop, note: drop" in told.evidence.where
    assert (
        "xxxxx.xxxxxx@xxxx.xxxxxxx.xxx" in told.evidence.where or "@xxxxx.xxxxxxx.xxx" in told.evidence.where
    )
    assert not any(t in json.dumps(result.plain()) for t in TOKENS)
    assert held(fresh) == {}
    again = fresh.run()
    assert (again.status, again.worked) == ("blocked", False)
    with pytest.raises(UserError, match="can't be waived"):
        fresh.run(waive=[{"gate": "pii", "reason": "r", "by": "b", "until": "2030-01-01"}])


def test_treated_data_passes_and_no_byte_of_the_store_holds_it(fresh, key):
    plant(fresh)
    edit_spec(fresh, ("  expect:", DECLARED), ("  depot: depot\n", "  depot: depot\n  mail: email\n"))
    result = fresh.run()
    assert verdict(result, "pii").evidence.value == 0
    assert result.status == "released"
    assert held(fresh) == {}
    _, manifest = fresh.release()
    privacy = manifest.privacy
    assert privacy.treatments == {
        "email": "hash", "note": "mask", "surname": "drop", "weather.contact": "mask"
    }  # fmt: skip
    assert privacy.columns == 9 + 4
    assert len(privacy.key) == 16
    assert fresh.store.has(privacy.scan)
    kept = pq.read_table(fresh.store.get(manifest.snapshots["parcels"].artifact))
    assert "surname" not in kept.column_names
    assert set(map(len, kept.column("note").to_pylist())) == {24}
    assert manifest.serving.unused == ("courier", "late", "note", "parcel", "part", "surname")


def test_a_release_treats_requests_and_files_as_ingest_did(fresh, key, monkeypatch):
    edit_rows(
        fresh, lambda r: {**r, "email": f"{r['depot']}@firma.example.org", "surname": f"S{r['parcel']}"}
    )
    edit_spec(
        fresh,
        ("  expect:", "  pii: {email: hash, surname: drop}\n  expect:"),
        ("depot: depot", "depot: email"),
    )
    assert fresh.run().status == "released"
    release, manifest = fresh.release()
    assert manifest.serving.event_types()["email"] == "text"
    with (fresh.root / "data" / "parcels.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))[-40:]
    answerer = Answerer(fresh.store, manifest.serving, release.release)
    asked = [
        {"at": r["at"], "depot": r["depot"], "distance": float(r["distance"]), "email": r["email"],
         "surname": "Anybody"} for r in rows
    ]  # fmt: skip
    one_by_one = [answerer.answer([row])[0]["probability"] for row in asked]
    assert [a["probability"] for a in answerer.answer(asked)] == pytest.approx(one_by_one)
    scored = fresh.predict(fresh.root / "data" / "parcels.csv", fresh.root / "scored.parquet")
    assert scored.rejected == 0
    batch = pq.read_table(scored.output).column("probability").to_pylist()[-40:]
    assert batch == pytest.approx(one_by_one)
    other = [{**row, "email": "somebody@else.example"} for row in asked]
    assert [a["probability"] for a in answerer.answer(other)] != pytest.approx(one_by_one)
    monkeypatch.setenv("HEADRACE_PII_KEY", KEY[::-1])
    with pytest.raises(UserError, match="another than the release was made with"):
        Answerer(fresh.store, manifest.serving, release.release)


def test_a_hashed_key_still_joins(fresh, key):
    edit_spec(fresh, ("  expect:", "  pii: {depot: hash, weather.depot: hash}\n  expect:"))
    plain = begin(fresh.root.parent / "plain")
    for project in (fresh, plain):
        project.run()
    both = [p.show().summary["validation"]["f1"]["value"] for p in (fresh, plain)]
    assert both[0] == pytest.approx(both[1], abs=0.05)
    row = {"at": "2024-02-20T05:00:00Z", "depot": "north", "distance": 3.5}
    answers = [
        Answerer(p.store, m.serving, r.release).answer([row])[0]["probability"]
        for p in (fresh, plain)
        for r, m in [p.release()]
    ]
    assert answers[0] == pytest.approx(answers[1], abs=0.2)
    edit_spec(fresh, ("weather.depot: hash", "weather.wind: {do: keep, why: harmless}"))
    with pytest.raises(SpecError, match="rows would never meet"):
        fresh.check()


def test_another_key_is_another_snapshot_and_no_key_is_told(fresh, key, monkeypatch):
    plant(fresh)
    edit_spec(fresh, ("  expect:", DECLARED))
    first = fresh.run().tables["parcels"]["content"]
    monkeypatch.setenv("HEADRACE_PII_KEY", KEY[::-1])
    assert fresh.run().tables["parcels"]["content"] != first
    monkeypatch.delenv("HEADRACE_PII_KEY")
    with pytest.raises(SpecError, match="hashing personal data needs a key"):
        fresh.check()
    file = fresh.root / ".headrace" / "key"
    file.write_text(KEY)
    monkeypatch.setenv("HEADRACE_PII_KEY_FILE", str(file))
    with pytest.raises(SpecError, match="lies in the store"):
        fresh.check()
    outside = fresh.root.parent / "key"
    outside.write_text(KEY + "\n")
    monkeypatch.setenv("HEADRACE_PII_KEY_FILE", str(outside))
    assert fresh.run().tables["parcels"]["content"] == first
    outside.write_text("short")
    with pytest.raises(SpecError, match="at least 16"):
        fresh.check()


def test_kept_data_is_listed_with_its_reason(fresh):
    edit_rows(fresh, lambda r: {**r, "email": f"c{r['parcel']}@firma.example.org"})
    edit_spec(
        fresh, ("  expect:", "  pii: {email: {do: keep, why: agreed with the works council}}\n  expect:")
    )
    result = fresh.run()
    assert result.status == "released"
    assert "agreed with the works council" in verdict(result, "pii").evidence.where
    assert fresh.release()[1].privacy.kept == {"email": "agreed with the works council"}


def test_a_python_source_is_treated_before_its_rows_reach_the_disk(fresh, key, monkeypatch):
    """What the spool holds is looked at when the columns are planned: it is full, and not yet gone."""
    (fresh.root / "sources.py").write_text(
        "import csv\n"
        "def parcels():\n"
        "    with open('data/parcels.csv', newline='') as f:\n"
        "        rows = list(csv.DictReader(f))\n"
        "    for i, r in enumerate(rows):\n"
        "        late = float(r['late']) if r['late'] else None\n"
        f"        mine = {{'parcel': i, 'email': {MAIL!r}, 'surname': 'Hopper-Murray'}}\n"
        "        yield {**r, **mine, 'distance': float(r['distance']), 'late': late}\n"
    )
    edit_spec(fresh, ("read: data/parcels.csv", "read: sources.py:parcels"),
              ("  expect:", "  pii: {email: hash, surname: drop}\n  expect:"))  # fmt: skip
    monkeypatch.chdir(fresh.root)
    seen: list[bytes] = []

    def planned(*args, **more):
        seen.extend(f.read_bytes() for f in (fresh.root / ".headrace" / "tmp").rglob("spool-*.arrow"))
        return plan(*args, **more)

    monkeypatch.setattr("headrace.data.snapshot.plan", planned)
    assert fresh.run().status == "released"
    assert seen
    assert not any(t.encode() in data for data in seen for t in TOKENS)
    assert held(fresh) == {}


@pytest.mark.parametrize(
    ("pii", "told"),
    [
        ("{emial: drop}", "no column 'emial'"),
        ("{wether.x: drop}", "no table 'wether'"),
        ("{weather.nothing: hash}", "no column 'nothing'"),
        ("{at: mask}", "mask"),
        ("{at: hash}", "which is data.time"),
        ("{parcel: drop}", "which is data.id"),
        ("{email: keep}", "drop"),
        ("{email: {do: keep}}", "needs a reason"),
        ("{email: {do: hash, length: 3}}", "length only works with"),
        ("{weather.seen: drop}", "seen"),
    ],
)  # fmt: skip
def test_mistakes_are_told_by_check(fresh, key, pii, told):
    plant(fresh)
    edit_spec(fresh, ("  expect:", f"  pii: {pii}\n  expect:"))
    with pytest.raises(SpecError, match=told):
        fresh.check()


def test_messages_about_personal_columns_tell_no_value(fresh):
    lines = (fresh.root / "data" / "parcels.csv").read_text().splitlines()
    many = [f"{lines[1 + i % 1200]},{i}" for i in range(60_000)] + [f"{lines[5]},{MAIL}"]
    (fresh.root / "data" / "parcels.csv").write_text("\n".join([f"{lines[0]},account", *many]) + "\n")
    edit_spec(fresh, ("  expect:", "  pii: {account: mask}\n  expect:"))
    result = fresh.run(raises=False)
    assert result.status == "failed"
    assert "not shown: personal data" in str(result.problems[0])
    assert held(fresh) == {}


def test_the_command_reads_the_sources_and_keeps_nothing(fresh):
    runner = CliRunner()
    clean = runner.invoke(cli, ["data", "pii", "-C", str(fresh.root)])
    assert (clean.exit_code, clean.stdout) == (0, "nothing looks personal, and nothing is declared\n")
    plant(fresh)
    done = runner.invoke(cli, ["data", "pii", "-C", str(fresh.root)])
    assert done.exit_code == 3
    assert "weather.contact: drop" in done.output
    assert not any(t in done.output for t in TOKENS)
    edit_spec(fresh, ("  expect:", DECLARED))
    done = runner.invoke(cli, ["data", "pii", "-C", str(fresh.root), "--json"])
    assert done.exit_code == 0
    assert {c["name"]: c["do"] for c in json.loads(done.stdout)} == {
        "email": "hash", "note": "mask", "surname": "drop", "weather.contact": "mask"
    }  # fmt: skip
    assert held_nothing(fresh)


def held_nothing(project: Project) -> bool:
    store = project.root / ".headrace"
    return not store.exists() or not any(p.is_file() for p in (store / "artifacts").rglob("*"))
