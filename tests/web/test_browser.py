"""The dashboard in a real browser: how it looks to people, keyboards and screen readers, and their work.

Needs Debian's Chromium; where there is none these tests are skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from served import LONG, Running, served, wait_until
from spine import AUTHOR, _template, edit_spec

from headrace.core.clock import iso, micros, system_clock
from headrace.core.event import Draft
from headrace.core.places import STORE_DIR
from headrace.project import Project
from headrace.stores import EmbeddedStore
from headrace.web.registry import pages

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

CHECKS = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
EVERY_RULE = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
PATIENCE = 1000 * LONG
COLLEAGUE = "colleague@example.com"
INTO_VIEW = "e => e.scrollIntoView()"  # at once: the page may be fetched anew at any moment


@dataclass
class World:
    """A project with a challenger, traffic, an alert and things to review, and the server on it."""

    project: Project
    server: Running
    champion: str
    challenger: str

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/ui"

    def paths(self) -> list[str]:
        names = {"run": "runs/run-2", "release": f"releases/{self.challenger}"}
        more = ["compare?run-run-1=1&run-run-2=1", "alerts?alert=a1", "runs?where=nothing"]
        return [*(names.get(p.name, p.path) for p in pages()), *more]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dashboard") / "project"
    shutil.copytree(_template(tmp_path_factory.getbasetemp()), folder)
    with closing(EmbeddedStore(folder / STORE_DIR)) as store:
        yield from _world(Project(folder, store=store, clock=system_clock, actor=AUTHOR))


def _world(project: Project) -> Iterator[World]:
    champion = project.releases().champion
    assert champion is not None
    depth = ("[tree]", "[{use: tree, params: {max_depth: 2}}]")
    lenient = ("cv: {folds: 3}", "cv: {folds: 3}\npromote: {margin: 0.9}")
    edit_spec(project, ("approval: self", "approval: other"), depth, lenient)
    made = project.run(raises=False)
    assert made.status == "awaiting approval", made.problems
    project.review_ask(sample=14)
    alarm = {"family": "drift", "check": "psi", "of": "distance", "value": 2.0, "threshold": 1.0, "n": 300}
    told = {
        "release": champion.release, "arm": "champion", "title": "distance moved", "family": "drift",
        "families": ["drift"], "readings": [alarm], "since": 1_700_000_000_000_000,
        "seen": 1_700_086_400_000_000, "why": {"lines": ["distance: 0 to 10 was 20% of the rows, is 60%"]},
    }  # fmt: skip
    project.store.append([Draft("alert.opened", "a1", iso(system_clock()), "watch", told)])
    with served(project.root, environ={"HEADRACE_USER": COLLEAGUE}) as server:
        row = {"at": "2024-02-20T12:00:00Z", "depot": "north", "distance": 12.0}
        for _ in range(3):
            status, _, _ = server.ask("POST", "/predict", [row] * 20)
            assert status == 200
        yield World(project, server, champion.release, made.release)
    project.run_index.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Window:
    """A page, and what went wrong on it."""

    page: Any
    wrong: list[str]


@pytest.fixture
def window(chromium: Any, request: pytest.FixtureRequest) -> Iterator[Window]:
    width, scheme = getattr(request, "param", (1280, "light"))
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    seen = Window(page, [])
    page.on("console", lambda m: seen.wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: seen.wrong.append(str(e)))
    yield seen
    context.close()


def ruled(page: Any, rules: Mapping[str, Any]) -> list[str]:
    """What axe finds wrong with a page. Figures are pictures with a name: what is in them is left out."""
    options = {"runOnly": rules, "resultTypes": ["violations"], "selectors": False}
    found = axe.Axe().run(page, {"exclude": [[".plot > *"]]}, options).response["violations"]
    return [f"{v['id']} ({v['help']}): {n['html'][:160]}" for v in found for n in v["nodes"][:3]]


def drawn(page: Any) -> None:
    """Have the whole page in sight, with its figures."""
    width, high = page.viewport_size["width"], page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": max(900, min(high, 20_000))})
    page.wait_for_function(
        "() => [...document.querySelectorAll('.plot')].filter(b => b.clientWidth)"
        ".every(b => b.querySelector('.main-svg'))"
    )


@pytest.mark.parametrize("window", [(1280, "light"), (390, "dark")], indirect=True, ids=str)
def test_every_page_is_whole_and_can_be_used_by_everybody(world: World, window: Window) -> None:
    page, found = window.page, {}
    width = page.viewport_size["width"]
    for path in world.paths():
        window.wrong.clear()
        page.goto(f"{world.base}/{path}".rstrip("/"), wait_until="load")
        page.evaluate("delete document.body.dataset.version")  # it is looked at as it is
        drawn(page)
        wrong = page.evaluate(CHECKS)
        page.set_viewport_size({"width": width, "height": 900})  # axe is quicker there, and rules the whole
        wrong += ruled(page, EVERY_RULE)
        if width > 1000:
            page.emulate_media(color_scheme="dark")
            wrong += [f"dark: {w}" for w in ruled(page, COLOURS)]
            page.emulate_media(color_scheme="light")
        if wrong + window.wrong:
            found[path] = wrong + window.wrong
    assert not found, "\n".join(f"{p}: {w}" for p, w in found.items())


def test_figures_come_when_they_are_looked_at_and_all_of_them_on_paper(world: World, window: Window) -> None:
    page = window.page
    page.goto(f"{world.base}/runs/run-2", wait_until="load")
    count = "() => document.querySelectorAll('.main-svg').length"
    shown = page.locator(".plot:visible")
    last = shown.last
    assert not last.locator(".main-svg").count(), "what is far below waits"
    last.evaluate(INTO_VIEW)
    last.locator(".main-svg").first.wait_for()
    assert page.evaluate(count) < 2 * shown.count()
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    drawn(page)
    page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    page.locator("details summary").first.evaluate(INTO_VIEW)
    assert not window.wrong


def test_a_challenger_is_approved_promoted_and_rolled_back(world: World, window: Window) -> None:
    page = window.page
    page.on("dialog", lambda d: d.accept())
    page.goto(world.base)
    page.get_by_role("link", name=f"Decide release {world.challenger}").click()
    assert page.get_by_role("button", name="Promote to champion").is_disabled()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text(f"You approved {world.challenger}").wait_for()
    assert page.get_by_role("button", name="Approve").is_disabled()
    page.get_by_role("button", name="Promote to champion").click()
    page.get_by_text(f"{world.challenger} is champion.").wait_for()
    state = world.project.releases()
    assert state.champion is not None
    assert state.champion.release == world.challenger
    assert state.champion.approved_by == (COLLEAGUE,)
    wait_until(lambda: world.server.ask("GET", "/health/ready")[0] == 200)

    page.get_by_label("Why roll back").fill("too many false alarms")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_text(f"Rolled back: {world.champion} is champion again.").wait_for()
    last = list(world.project.store.read(kinds=("release.rolled_back",)))[-1]
    assert (last.subject, last.actor) == (world.champion, COLLEAGUE)
    assert last.payload["reason"] == "too many false alarms"
    assert not window.wrong


def test_ten_items_are_reviewed_by_keys_alone(world: World, window: Window) -> None:
    page, reviews = window.page, world.project.reviews()
    page.goto(f"{world.base}/review")
    for done in range(1, 11):
        page.locator("button[data-key='1']").wait_for()
        page.keyboard.press("1" if done % 2 else "2")
        page.wait_for_function(f"() => document.body.innerText.includes('{done} decided')")
    first = page.locator("#item").inner_text()
    page.keyboard.press("s")
    page.wait_for_function(f"() => document.getElementById('item').innerText !== {first!r}")
    second = page.locator("#item").inner_text()
    page.keyboard.press("k")
    page.wait_for_function(f"() => document.getElementById('item').innerText !== {second!r}")
    counts = reviews.counts(now=micros(system_clock()), source=None)
    assert counts.decided == 10
    assert counts.reviewers == {COLLEAGUE: 10}
    assert not window.wrong


def test_one_finds_out_why_there_is_an_alert_and_sees_to_it(world: World, window: Window) -> None:
    page = window.page
    page.goto(world.base)
    page.get_by_role("link", name="Look distance moved").click()
    page.get_by_text("distance: 0 to 10 was 20% of the rows, is 60%").wait_for()
    page.get_by_role("button", name="I see to it").click()
    page.get_by_text("You see to it.").wait_for()
    assert world.project.alert("a1").by == COLLEAGUE
    page.get_by_role("link", name="Over time").click()
    page.get_by_role("heading", name="Drift & performance").wait_for()


def test_a_page_that_is_open_shows_what_happens_by_itself(world: World, window: Window) -> None:
    page = window.page
    page.goto(f"{world.base}/runs/run-1")
    page.locator("details summary").first.click()
    page.locator("#text").fill("half a thought")
    world.project.note("run-1", "somebody else's")
    page.wait_for_timeout(6000)  # it does not take away what is being written, however long one waits
    assert page.locator("#text").input_value() == "half a thought"
    page.locator("#text").fill("")
    page.locator("h1").click()
    page.get_by_text("somebody else's").wait_for()
    assert page.locator("details").first.get_attribute("open") is not None, "what was open stays open"
    assert not window.wrong


def test_every_state_has_an_address(world: World, window: Window) -> None:
    page = window.page
    page.goto(f"{world.base}/runs")
    page.get_by_label("Expression").fill("status = 'released'")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=status*")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="Took").click()
    page.wait_for_url("**sort=seconds*")
    assert page.locator("th[aria-sort='descending']").inner_text().startswith("Took")
    page.go_back()
    page.go_back()
    page.wait_for_url("**/runs")
    assert page.locator("tbody tr").count() == 2
    page.get_by_label("Choose run-1").check()
    page.get_by_label("Choose run-2").check()
    page.get_by_role("button", name="Compare the chosen").click()
    page.get_by_role("heading", name="Beyond noise?").wait_for()


def test_light_and_dark_are_kept(world: World, window: Window) -> None:
    page = window.page
    page.goto(world.base)
    ground = "() => getComputedStyle(document.querySelector('.panel')).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    after = page.evaluate(ground)
    assert after != before
    page.goto(f"{world.base}/health")
    page.goto(world.base)
    assert page.evaluate(ground) == after


def test_the_keyboard_reaches_everything(world: World, window: Window) -> None:
    page = window.page
    page.goto(f"{world.base}/runs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "where"


@pytest.mark.parametrize("window", [(390, "light")], indirect=True, ids=str)
def test_on_a_phone_the_pages_are_behind_a_button(world: World, window: Window) -> None:
    page = window.page
    page.goto(world.base)
    link = page.get_by_role("link", name="Traffic", exact=True)
    assert not link.is_visible()
    page.get_by_role("button", name="Pages").click()
    link.click()
    page.get_by_role("heading", name="Traffic").wait_for()
    assert not window.wrong


def test_what_looks_at_pages_sees_faults(chromium: Any) -> None:
    page = chromium.new_page(viewport={"width": 400, "height": 400})
    page.set_content(
        "<main><h2 id=a>x</h2><h4 id=a>x</h4><p style='color:#bbb;background:#fff'>faint</p><input>"
        "<button></button><div style='width:900px'>wide</div><table><tr><td>1</td></tr></table>"
        "<p style='position:absolute;top:0'>on top of it</p><div class=plot style='height:9px'></div></main>"
    )
    found = "\n".join(page.evaluate(CHECKS) + ruled(page, EVERY_RULE))
    for what in (
        "wider than the window", "an id stands twice", "a table without a caption", "covered by", "not drawn",
        "color-contrast", "html-has-lang", "document-title", "button-name", "label", "heading-order",
    ):  # fmt: skip
        assert what in found, what
    page.close()
