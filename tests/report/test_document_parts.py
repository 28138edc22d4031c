"""The document's pieces: escaping, both forms, rules of choices, and what is lacking. No run, no store."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from headrace.core.document import Design, DesignFeature, Risk, ServedTable
from headrace.core.spec import parse_spec
from headrace.metrics.sequential import units_for_shares
from headrace.report.document import document_of, to_html, to_markdown
from headrace.report.document.blocks import (
    Code,
    Diagram,
    Document,
    Items,
    Lack,
    Para,
    Part,
    Table,
    Words,
    flat,
)
from headrace.report.document.choices import RULES
from headrace.report.document.diagram import mermaid, svg
from headrace.report.document.markdown import code, fenced, plain
from headrace.report.document.serving import ab_testing, model_serving
from headrace.report.document.watching import monitoring, retraining_policy

NASTY = "a | b\n\n# c\r\n- d <script>alert('x')</script> `e` *f* [g](http://x) &lt; \\ ~~h~~ $i$ \u2028| j"

SPEC: dict[str, Any] = {
    "headrace": 1,
    "project": "parcels",
    "problem": {
        "objective": "fewer late parcels",
        "decision": "warn",
        "task": "binary",
        "target": "late > 30",
        "metric": "f1",
    },
    "data": {"events": "parcels", "tables": {"parcels": {"read": "parcels.csv"}}},
    "split": {"by": "random"},
    "features": {"distance": "distance"},
}


def design(changes: dict[str, Any] | None = None, **parts: Any) -> Design:
    """A project that has not run. `changes` are top-level parts of the spec."""
    parsed = parse_spec(yaml.safe_dump({**SPEC, **(changes or {})}))
    return Design(parsed.spec, "parcels", **parts)


def words(cell: Words) -> str:
    return "".join(w if isinstance(w, str) else w.key if isinstance(w, Lack) else w.text for w in flat(cell))


def choice(name: str, changes: dict[str, Any], **parts: Any) -> tuple[str, str]:
    """What a rule chooses, and its reason."""
    found = {c.what: c for c in (rule(design(changes, **parts)) for rule in RULES)}[name]
    return words(found.chosen), words(found.reason)


class Shown(HTMLParser):
    """The text that a page shows, and the elements it is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.open = "", [], []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "rect", "path", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data


def rendered(markdown: str) -> Shown:
    """Markdown as GitHub would show it, HTML in it refused by none but the writer."""
    return Shown(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def test_what_a_user_wrote_is_shown_as_it_is_and_never_becomes_markup() -> None:
    page = Document(
        NASTY,
        NASTY,
        (
            Part(
                NASTY,
                (
                    Para(NASTY),
                    Items((NASTY, "- x", "1. y", "> z", "# w", "[v]: u")),
                    Para(("x ", Code(NASTY))),
                ),
            ),
            Part("t", (Table(("h | h", NASTY), ((NASTY, Code(NASTY)), (Lack("a|b"), ""))),)),
        ),
    )
    flat_text = " ".join(NASTY.split())
    for shown in (rendered(to_markdown(page)), Shown(to_html(page))):
        assert " ".join(shown.text.split()).count(flat_text) >= 6
        assert not {"script", "s", "blockquote", "hr", "h4"} & set(shown.tags)
        assert shown.tags.count("tr") == 3
        assert shown.tags.count("td") == 4
        assert shown.tags.count("li") == 6
        assert shown.tags.count("h1") == 1
        for text in ("- x", "1. y", "> z", "# w", "[v]: u"):
            assert text in shown.text
    assert "a" not in rendered(to_markdown(page)).tags


@pytest.mark.parametrize("text", ["``", "`", "a`b``c", "```sh", " lead", "|", "\\|", "a\\", "x\ny"])
def test_a_code_span_holds_any_text(text: str) -> None:
    one = " ".join(text.split("\n"))
    for source in (code(text), f"| h |\n|---|\n| {code(text, table=True)} |"):
        shown = rendered(source)
        assert "code" in shown.tags
        assert (
            shown.text.replace("h", "", 1 if "|" in source and "---" in source else 0).strip() == one.strip()
        )


@pytest.mark.parametrize(
    "text", ["snake_case_name", "_edge_", "2 * 3 * 4", "a < b > c", "f1 [0.1, 0.2]", "R&amp;D"]
)
def test_plain_text_stays_itself(text: str) -> None:
    assert rendered(plain(text)).text.strip() == text
    assert "\\" not in plain("snake_case_name f1 [0.1, 0.2]"), "it is read as it is, too"


def test_fences_and_labels_are_not_left() -> None:
    assert fenced("sh", "a\n````\nb").startswith("`````sh\n")
    steps = Diagram("p", (('a "quoted"] --> x', "<b>#1</b>\nend"), ("b", "y" * 200)))
    lines = mermaid(steps).splitlines()
    assert len(lines) == 4
    assert lines[1].count('"') == 2
    assert "<b>#1" not in lines[1]
    drawn = Shown(f"<p>{svg(steps)}</p>")
    assert drawn.tags.count("rect") == 2
    assert 'a "quoted"] --> x' in drawn.text
    assert max(len(t) for t in re.findall(r">([^<]*)</text>", svg(steps))) < 80


# --- choices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "chosen", "reason"),
    [
        ("store", {"context": {"team": 8}}, "embedded (SQLite and files)", "context.team: 8"),
        ("store", {"context": {"team": 9}}, "embedded for now, Postgres planned", "context.team: 9"),
        ("store", {}, "embedded (SQLite and files)", "context.team"),
        ("way of answering", {"context": {"latency": "1 h"}}, "batch", "context.latency: 1 h"),
        ("way of answering", {"context": {"latency": "59 min"}}, "rest", "context.latency: 59 min"),
        (
            "way of answering",
            {"context": {"latency": "1 day"}, "serve": {"mode": "rest"}},
            "rest, as declared",
            "serve.mode: rest says otherwise",
        ),
        (
            "way of answering",
            {"context": {"latency": "1 ms"}, "serve": {"mode": "edge"}},
            "edge, as declared (planned)",
            "too soon for a batch",
        ),
        ("servers", {"context": {"volume": "100 / s"}}, "one", "context.volume: 100 / s"),
        (
            "servers",
            {"context": {"volume": "101 / s"}},
            "several behind a balancer (planned)",
            "101 a second",
        ),
        (
            "servers",
            {"context": {"volume": "1 / s"}, "serve": {"throughput": "500 / s"}},
            "several behind a balancer (planned)",
            "serve.throughput",
        ),
        ("candidates", {"models": ["knn", "tree"]}, "knn, tree", "nothing bars any"),
        (
            "candidates",
            {"models": ["knn", "tree"], "context": {"latency": "5 ms"}},
            "tree (not knn)",
            "context.latency: 5 ms speaks against knn",
        ),
        (
            "candidates",
            {
                "models": ["linear", "boosting"],
                "context": {"constraints": ["Every refusal has to be explained"]},
            },
            "linear (not boosting)",
            "Every refusal has to be explained",
        ),
        (
            "experiment tracking",
            {"context": {"maturity": "established"}},
            "the ledger with a mirror",
            "established",
        ),
        (
            "scheduler",
            {"policy": {"reactions": [{"on": "drift", "do": "retrain"}]}},
            "headrace worker",
            "policy.reactions: drift",
        ),
        ("feature store", {}, "none", "every feature is computed"),
    ],
)
def test_choices_follow_the_context_and_quote_it(
    name: str, changes: dict[str, Any], chosen: str, reason: str
) -> None:
    found, why = choice(name, changes)
    assert found == chosen
    assert reason in why


def test_the_feature_store_follows_the_tables_that_features_read() -> None:
    still, aged = (
        ServedTable("planes", ("tail",), ("year",)),
        ServedTable("w", ("o",), ("t",), "at", "", "3 h"),
    )
    assert choice("feature store", {}, tables=(still,)) == ("packaged tables", "features read planes")
    chosen, why = choice("feature store", {}, tables=(still, aged))
    assert chosen == "the online store, filled from the release"
    assert why == "ttl of w (3 h)"
    text = to_markdown(document_of(design(tables=(still, aged))))
    assert "No online store is needed for planes" in text
    assert "The online store is needed for w before live traffic" in text
    assert "`headrace materialize` fills it from the release, and `POST /events` takes facts" in text


# --- serving and the experiment --------------------------------------------------------------------


def part_text(part: Part) -> str:
    return to_markdown(Document("t", "", (part,)))


def test_the_duration_is_computed_where_traffic_and_effect_are_known() -> None:
    plan = {"traffic": 0.5, "baseline": 0.10, "expected": 0.12, "units": "1,000 / day"}
    text = part_text(ab_testing(design({"experiment": plan})))
    needed = units_for_shares(0.10, 0.12, share=0.5, level=0.05, power=0.8)
    assert 14_000 < needed < 15_000 and f"{needed:,} units of both arms, 50% of them" in text
    assert "One single look at the end would need 7,682" in text
    assert "that takes 15 days" in text
    for minimum, said in (("28 days", "is enough"), ("15 days", "is enough"), ("14 days", "is too short")):
        assert said in part_text(ab_testing(design({"experiment": {**plan, "minimum": minimum}})))
    del plan["units"]
    assert "add* `experiment.units`" in part_text(ab_testing(design({"experiment": plan})))
    volume = {"experiment": plan, "context": {"volume": "1,000 / day"}}
    assert "(context.volume) that takes 15 days" in part_text(ab_testing(design(volume)))


def test_without_an_effect_nothing_is_computed() -> None:
    text = part_text(ab_testing(design({"experiment": {"traffic": 0.2}})))
    assert "`experiment.baseline`" in text
    assert "units for the champion" not in text


def measured(changes: dict[str, Any], value: float) -> Design:
    from headrace.core.views import RunView

    gate = {
        "name": "latency",
        "value": value,
        "n": 300,
        "verdict": "pass",
        "reason": "",
        "rule": "",
        "stage": "package",
    }
    line = {"model": "tree", "mean": 0.5, "std": None, "error": ""}
    run = RunView(
        "run-1",
        "n",
        "2026-01-01",
        "a",
        "",
        status="released",
        summary={"gates": [gate], "leaderboard": [line]},
    )
    return dataclasses.replace(design(changes), measured=run, newest=run, metric="f1")


@pytest.mark.parametrize(
    ("p95", "p50", "p99"),
    [
        (5.0, "the graph keeps it: 95% do", "95% keep it; the 99th percentile was not measured"),
        (15.0, "not known: the median was not measured", "95% keep it; the 99th percentile was not measured"),
        (60.0, "not known: the median was not measured", "the graph misses it"),
    ],
)
def test_targets_of_latency_meet_what_the_gate_measured(p95: float, p50: str, p99: str) -> None:
    text = part_text(model_serving(measured({"serve": {"p50": "10 ms", "p99": "50 ms"}}, p95)))
    assert f"| p50 | 10 ms | {p50} |" in text
    assert f"| p99 | 50 ms | {p99} |" in text


def test_what_can_t_be_done_yet_is_worded_as_a_plan() -> None:
    for mode in ("streaming", "edge"):
        assert "Planned:" in part_text(model_serving(design({"serve": {"mode": mode}})))
    text = to_markdown(document_of(design({"experiment": {"primary": "f1"}})))
    for said in (
        "headrace ab start",
        "Nothing is done by itself: a person starts runs.",
    ):
        assert said in text


def test_rules_and_fallbacks_are_told() -> None:
    rules = {"before": [{"name": "far", "when": "distance > 45", "answer": True}],
             "after": [{"name": "unsure", "when": "confidence < 0.6", "answer": None}]}  # fmt: skip
    text = part_text(model_serving(design({"serve": {"rules": rules, "fallback": [{"value": False}]}})))
    assert "| far | before the model | `distance > 45` | True |" in text
    assert "| unsure | after the model | `confidence < 0.6` | no prediction: a person |" in text
    assert "`headrace serve` does so by itself" in text and "always `False`" in text
    assert "every answer is the model's" in part_text(model_serving(design()))


def test_targets_meet_what_the_gate_of_speed_measured() -> None:
    told = measured({"serve": {"p50": "10 ms", "throughput": "5 / s"}}, 5.0)
    run = told.measured
    assert run is not None
    gates = [
        *run.summary["gates"],
        {"name": "speed: p50", "value": 0.31, "n": 300, "verdict": "pass", "where": ""},
        {"name": "speed: throughput", "value": 3000.0, "n": 300, "verdict": "pass", "where": "3,000 a core"},
    ]
    run = dataclasses.replace(run, summary={**run.summary, "gates": gates})
    text = part_text(model_serving(dataclasses.replace(told, measured=run)))
    assert "| p50 | 10 ms | 0.31 ms over 300 whole answers (pass) |" in text
    assert "3,000 a second by all servers (3,000 a core; pass)" in text


# --- what is lacking -------------------------------------------------------------------------------


def test_what_is_lacking_is_listed_at_the_end_once_and_in_order() -> None:
    document = document_of(design())
    lacks = document.lacks()
    assert len(set(lacks)) == len(lacks)
    for key in (
        "problem.ship_at",
        "problem.use",
        "serve.p99",
        "experiment",
        "policy.reactions",
        "context.team",
    ):
        assert key in lacks
    text = to_markdown(document)
    listed = re.findall(r"^- `(.*)`$", text.split("## What is missing")[1], flags=re.M)
    assert listed == list(lacks)
    first = [text.index(f"add* `{key}`") for key in lacks]
    assert first == sorted(first)


def test_unreadable_tables_are_said() -> None:
    feature = DesignFeature("distance", "distance", (), (), "", (), Risk.OPEN, "")
    text = to_markdown(document_of(design(features=(feature,), unread="no file parcels.csv")))
    assert "can't be read: no file parcels.csv" in text
    assert "| `distance` | – |" in text


# --- watching and acting ---------------------------------------------------------------------------


def test_monitoring_tells_tool_threshold_and_action_of_every_family() -> None:
    told = design(
        {
            "watch": {"window": "6 h", "off": ["concept"], "health": {"errors": 0.02}, "labels": "3 days"},
            "alerts": {"budget": "2 per month", "to": [{"slack": "TEAM_HOOK", "severity": "high"}]},
            "policy": {
                "reactions": [
                    {"on": "performance", "do": "roll back", "within": "7 days"},
                    {"on": "drift", "do": "retrain", "least": 2},
                ]
            },
            "serve": {"p99": "40 ms"},
        }
    )
    text = part_text(monitoring(told))
    assert "windows of `6 h`" in text
    assert "`2 per month` false alarms" in text
    assert "slack `TEAM_HOOK`: those that do harm" in text
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "retrain, after 2 windows in a row" in lines["drift"]
    assert "roll back, within 7 days of its promotion, else ask" in lines["estimated"]
    assert lines["quality"].endswith("| by the budget | alert |")
    assert "not watched (watch.off)" in lines["concept"]
    assert "`p99 <= 40 ms, errors <= 0.02, fallback <= 0.05`" in lines["health"]


def test_the_retraining_policy_tells_what_calls_for_what_and_who_lets_it_through() -> None:
    reactions = [
        {"on": "schedule", "cron": "0 3 1 * *", "do": "retrain"},
        {"on": "labels", "count": 1000, "do": "retrain", "history": "90 days"},
    ]
    told = {"policy": {"reactions": reactions, "approval": "none", "canary": False}}
    text = part_text(retraining_policy(design(told)))
    assert "| schedule `0 3 1 * *` | retrain |" in text
    assert "| labels: 1,000 new ones | retrain, with 90 days of history |" in text
    assert "the gates alone let it through (policy.approval: none)" in text
    assert "ramp of a canary" not in text
