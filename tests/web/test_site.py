"""The site: every page as HTML and JSON, who is let in, and what a page may hold."""

from __future__ import annotations

import gzip
import re
from datetime import timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from visitor import NASTY, Browser, pages_of

from headrace.core.clock import iso
from headrace.core.errors import UserCodeError
from headrace.core.event import Draft
from headrace.project import Project
from headrace.web.registry import BUILT_IN, _load, pages

PATHS = {"run": "runs/run-1", "release": "releases/champion"}


def paths() -> list[str]:
    return [f"/ui/{PATHS.get(p.name, p.path)}".rstrip("/") for p in pages()]


def test_every_page_opens_and_is_json_too(browser: Browser) -> None:
    for path in paths():
        seen = browser.open(path)
        assert seen.status == 200, f"{path}: {seen.text}"
        assert re.search(r"<h1>.*\S.*</h1>", seen.text, flags=re.S), path
        assert isinstance(browser.plain(path), dict), path
        by_ending = browser.open(f"{path}.json" if path != "/ui" else "/ui/now.json")
        assert by_ending.status == 200, path
        assert by_ending.header("content-type") == "application/json"


def test_an_empty_project_has_every_page_too(fresh: Project) -> None:
    with pages_of(fresh) as shell:
        browser = Browser(shell)
        for path in paths():
            seen = browser.open(path)
            # Of a run or release that is not there it is said so.
            assert seen.status == (404 if path.count("/") > 2 else 200), f"{path}: {seen.text}"
            assert "<h1>" in seen.text, path


def test_no_page_holds_a_script_or_asks_for_anything_from_elsewhere(browser: Browser) -> None:
    for path in paths():
        seen = browser.open(path)
        policy = seen.header("content-security-policy")
        assert "default-src 'self'" in policy
        assert "script-src" not in policy, "scripts are as strict as the rest"
        assert policy.count("unsafe") == 1, "for the sizes of figures alone"
        assert "style-src-attr 'unsafe-inline'" in policy
        told = [t for t in re.findall(r"<script[^>]*>", seen.text) if "src=" not in t]
        assert set(told) <= {'<script type="application/json">'}, path
        assert not re.search(r"<[^>]+\son\w+\s*=", seen.text), f"{path}: no handler in the page"
        for kind, where in re.findall(r'\s(src|href|action)="([^"]*)"', seen.text):
            assert where.startswith(("/ui", "#", "?")), f"{path}: {kind}={where}"


def test_what_people_wrote_is_never_markup(finished: Project) -> None:
    finished.note("run-1", NASTY, tags={"a": NASTY}, group=NASTY)
    store, now = finished.store, iso(finished._clock())
    store.append(
        [
            Draft("gate.waived", f"speed {NASTY}", now, NASTY,
                  {"reason": NASTY, "by": NASTY, "until": "2026-01-16"}),
            Draft("alert.opened", "a1", now, NASTY,
                  {"release": NASTY, "arm": NASTY, "title": NASTY, "family": "drift", "families": [NASTY],
                   "readings": [{"check": NASTY, "of": NASTY, "where": NASTY}], "since": 1, "seen": 2,
                   "why": {"lines": [NASTY]}}),
            Draft("job.queued", NASTY, now, NASTY,
                  {"do": "ask", "release": NASTY, "cause": NASTY, "reason": NASTY}),
        ]
    )  # fmt: skip
    with pages_of(finished) as shell:
        browser, shown = Browser(shell), 0
        for path in [
            *paths(),
            "/ui/alerts?alert=a1&state=all",
            f"/ui/runs?where={NASTY}",
            f"/ui/ledger?words={NASTY}",
        ]:
            seen = browser.open(path)
            assert seen.status == 200, path
            assert "<script>alert" not in seen.text
            shown += "&lt;script&gt;alert" in seen.text
        assert shown >= 6, "it was shown, and escaped"


def test_a_form_has_to_be_one_of_ours(browser: Browser) -> None:
    sent = {"do": "note", "text": "seen"}
    assert browser.post("/ui/runs/run-1", sent, code="").status == 403
    assert browser.post("/ui/runs/run-1", sent, code="0" * 64).status == 403
    assert browser.post("/ui/runs/run-1", sent, origin="http://elsewhere.example").status == 403
    assert browser.post("/ui/runs/run-1", sent, origin="null").status == 403
    assert browser.post("/ui/runs/run-1", sent, origin=None).status == 403, "nothing says where it is from"
    stranger = Browser(browser.shell)
    assert stranger.post("/ui/runs/run-1", sent, code=browser.code("/ui/login")).status == 403, (
        "another's code"
    )
    done = browser.post("/ui/runs/run-1", sent)
    assert (done.status, done.header("location")) == (303, "/ui/runs/run-1")
    assert "was noted" in browser.open("/ui/runs/run-1").text
    assert "was noted" not in browser.open("/ui/runs/run-1").text, "it is told once"


def test_a_name_that_was_made_to_lead_here_is_not_let_in(browser: Browser) -> None:
    elsewhere = Browser(browser.shell, host="rebound.example:8080")
    assert elsewhere.open("/ui").status == 403
    assert Browser(browser.shell, host="localhost:8080").open("/ui").status == 200
    assert Browser(browser.shell, host="[::1]:8080").open("/ui").status == 200


def test_with_tokens_one_logs_in_and_roles_decide(finished: Project) -> None:
    tokens = {
        role: finished.make_token(f"{role}@example.com", role, lasts=None).shown
        for role in ("viewer", "operator", "caller")
    }
    with pages_of(finished) as shell:
        browser = Browser(shell)
        led = browser.open("/ui/runs?where=status = 'released'")
        assert led.status == 303
        assert led.header("location").startswith("/ui/login?next=")
        assert browser.ask("GET", "/ui/runs.json").status == 401
        assert browser.log_in("hr_0_wrong").status == 401
        done = browser.log_in(tokens["viewer"])
        assert done.status == 303
        kept = next(v for k, v in done.headers if k == "set-cookie")
        assert "HttpOnly" in kept and "SameSite=Strict" in kept and "Path=/ui" in kept
        page = browser.open("/ui/runs/run-1")
        assert page.status == 200
        assert "viewer@example.com" in page.text
        assert 'value="note"' not in page.text, "what one may not do does not show"
        assert browser.post("/ui/runs/run-1", {"do": "note", "text": "x"}).status == 403
        assert browser.open("/ui/review").status == 403, "reviewers alone"

        other = Browser(shell)
        assert other.log_in(tokens["operator"]).status == 303
        assert other.post("/ui/runs/run-1", {"do": "note", "text": "by me"}).status == 303
        assert finished.show("run-1").notes == ("by me",)
        noted = list(finished.store.read(kinds=("run.noted",)))[-1]
        assert noted.actor == "operator@example.com", "events carry the token's name"
        assert other.post("/ui/logout", {}).status == 303
        assert other.open("/ui").status == 303

        third = Browser(shell)
        assert third.log_in(tokens["caller"]).status == 303
        assert third.open("/ui").status == 403, "a program sees nothing"


def test_a_token_that_was_revoked_opens_nothing(finished: Project) -> None:
    made = finished.make_token("ann", "viewer", lasts=timedelta(days=1))
    with pages_of(finished) as shell:
        browser = Browser(shell)
        browser.log_in(made.shown)
        assert browser.open("/ui").status == 200
        finished.revoke_token("ann")
        assert shell._guard is not None
        shell._guard.follow()  # a server does so every quarter of a second
        assert browser.open("/ui").status == 303


def test_programs_show_their_token_and_need_no_code(finished: Project) -> None:
    made = finished.make_token("bot", "operator", lasts=None)
    with pages_of(finished) as shell:
        bearer = {"authorization": f"Bearer {made.shown}"}
        browser = Browser(shell)
        assert browser.ask("GET", "/ui/runs.json", headers=bearer).json["total"] == 1
        form = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", **bearer}
        done = browser.ask("POST", "/ui/runs/run-1", b"do=note&text=hello", form)
        assert done.status == 200
        assert done.json == {"said": "run-1 was noted.", "to": "/ui/runs/run-1"}


def test_beyond_this_machine_one_may_look_where_nobody_has_a_token(finished: Project) -> None:
    with pages_of(finished, host="0.0.0.0") as shell:
        browser = Browser(shell, host="models.example")
        assert browser.open("/ui").status == 200
        assert 'value="note"' not in browser.open("/ui/runs/run-1").text
        assert browser.post("/ui/runs/run-1", {"do": "note", "text": "x"}).status == 403


@pytest.mark.parametrize(
    "after", ["https://elsewhere.example/", "//elsewhere.example", "/ui\\@x", "/ui/%0d%0a x\r\nA: b", ""]
)
def test_logging_in_leads_nowhere_else(finished: Project, after: str) -> None:
    made = finished.make_token("ann", "viewer", lasts=None)
    with pages_of(finished) as shell:
        browser = Browser(shell)
        done = browser.post("/ui/login", {"token": made.shown, "next": after})
        assert done.header("location").startswith("/ui")
        assert "\n" not in done.header("location")


def test_the_version_is_another_when_something_happened(finished: Project, browser: Browser) -> None:
    before = browser.ask("GET", "/ui/version").json["version"]
    same = browser.ask("GET", "/ui/version", headers={"if-none-match": f'"{before}"'})
    assert same.status == 304
    assert f'data-version="{before}"' in browser.open("/ui").text
    finished.note("run-1", "more")
    assert browser.ask("GET", "/ui/version").json["version"] != before


def test_scripts_and_styles_come_from_here_and_are_kept(browser: Browser) -> None:
    page = browser.open("/ui/runs/run-1").text
    for name in ("app.css", "report.css", "app.js", "plotly.js", "draw.js"):
        where = re.search(rf'"(/ui/static/{re.escape(name)}\?v=\w+)"', page)
        assert where is not None, name
        plain = browser.ask("GET", where[1])
        assert plain.status == 200
        assert "immutable" in plain.header("cache-control")
        assert len(plain.text) > 300
    assert browser.ask("GET", "/ui/static/../secret").status == 404
    assert browser.ask("GET", "/ui/static/none.js").status == 404


def test_a_wrong_address_says_what_there_is(browser: Browser) -> None:
    for path, status in (("/ui/nothing", 404), ("/ui/runs/run-99", 404), ("/ui/releases/zzz", 404)):
        seen = browser.open(path)
        assert seen.status == status
        assert 'role="alert"' in seen.text
    assert browser.post("/ui/runs/run-1", {"do": "explode"}).status == 400
    assert browser.ask("POST", "/ui/runs/run-1", b"{}", {"content-type": "application/json"}).status == 415
    assert browser.ask("GET", "/ui/runs/run-99.json").status in (404, 409, 422)


def test_every_page_has_its_own_path_and_plug_ins_come_by_the_same_door() -> None:
    found = pages()
    assert [p.name for p in found[: len(BUILT_IN)]] == list(BUILT_IN)
    assert len({p.path for p in found}) == len(found)
    with pytest.raises(UserCodeError, match="is no page"):
        _load(EntryPoint("wrong", "json:loads", "headrace.pages"))
    with pytest.raises(UserCodeError, match="can't be imported"):
        _load(EntryPoint("gone", "no_such_module_here:PAGE", "headrace.pages"))


def test_templates_let_nothing_through_by_themselves() -> None:
    """`safe` is a word of Jinja2 for text that is not escaped: ours mark what they draw, in Python."""
    folder = Path(__file__).parents[2] / "src" / "headrace" / "web" / "templates"
    for file in folder.glob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape", file.read_text(encoding="utf-8")), file.name


def test_what_is_served_packed_is_the_same(browser: Browser) -> None:
    plain = browser.ask("GET", "/ui/static/app.js")
    packed = browser.ask("GET", "/ui/static/app.js", headers={"accept-encoding": "gzip"})
    assert gzip.decompress(packed.body).decode() == plain.text
