"""The page of a profile, and the pages' common shell."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest

from headrace.core.schema import Column, Type
from headrace.data.profile.record import Profile, TableProfile
from headrace.data.profile.table import profile_table
from headrace.report.figures.data import correlation_matrix, time_coverage
from headrace.report.figures.embed import embed
from headrace.report.figures.small import histogram_svg, meter
from headrace.report.page import Section, number, page, table
from headrace.report.profile import profile_page

VOID = {"meta", "br", "img", "link", "input", "path", "hr"}
NASTY = "<script>alert('x')</script> & \"co\""


class Balanced(HTMLParser):
    """Fails where an element is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.links += [named["href"] or ""] if "href" in named else []
        for key in ("src", "href"):
            assert not (named.get(key) or "").startswith(("http", "//")), "nothing is loaded from anywhere"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def checked(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    anchors = [link.removeprefix("#") for link in parser.links if link.startswith("#")]
    assert set(anchors) <= set(parser.ids)
    assert len(set(parser.ids)) == len(parser.ids)
    return parser


def sample(rows: int = 900) -> TableProfile:
    rng = np.random.default_rng(0)
    base = rng.normal(size=rows)
    data = pa.table(
        {
            NASTY: pa.array(base),
            "b": pa.array(np.minimum(base + rng.normal(size=rows), 1.5)),
            "text": pa.array([NASTY if i % 3 else "plain" for i in range(rows)]),
            "at": pa.array(np.arange(rows) * 10**11).cast(pa.timestamp("us")),
            "flag": pa.array(rng.random(rows) < 0.5),
            "gone": pa.nulls(rows, pa.float64()),
        }
    )
    kinds = [Type.NUMBER, Type.NUMBER, Type.TEXT, Type.TIME, Type.BOOL, Type.NUMBER]
    columns = [Column(n, k, "string") for n, k in zip(data.column_names, kinds, strict=True)]
    return profile_table("t<1>", columns, data.to_batches())


def test_the_page_is_whole_and_escapes_what_it_is_given() -> None:
    html = profile_page(Profile((sample(),)), title=f"Profile {NASTY}", descriptions={"b": f"b {NASTY}"})
    checked(html)
    shown = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert "alert('x')" not in shown, "what the data holds is never markup"
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in shown
    assert "every value is missing" in shown
    assert "looks like a cap" in shown


def test_plotly_comes_once_and_only_where_it_is_drawn() -> None:
    drawn = profile_page(Profile((sample(), sample())), title="two")
    assert drawn.count('id="plotly"') == 1
    assert "class=plot" in drawn
    bare = page("bare", [Section("a", "A", "<p>text</p>")])
    assert "lotly" not in bare and len(bare) < 16_000
    checked(bare)


def test_a_figure_in_a_page_is_the_figure() -> None:
    figure = go.Figure(go.Bar(x=["</script>", "b"], y=[1, 2]))
    html = embed(figure, label=NASTY)
    held = re.search(r'<script type="application/json">(.*)</script></div>', html, flags=re.S)
    assert held is not None
    assert json.loads(held[1])["data"][0]["x"] == ["</script>", "b"]
    checked(html)


def test_figures_hold_what_the_profile_says() -> None:
    found = sample()
    assert found.correlations is not None
    heat = json.loads(correlation_matrix(found.correlations).to_json())["data"][0]
    assert heat["x"] == list(found.correlations.columns)
    assert [tuple(r) for r in heat["z"]] == list(found.correlations.r)
    bars = json.loads(time_coverage(found.coverage[0]).to_json())["data"][0]
    assert bars["x"] == list(found.coverage[0].starts)
    assert sum(found.coverage[0].rows) == 900


def test_a_histogram_draws_every_bar_that_holds_a_row() -> None:
    svg = histogram_svg([0, 1, 2, 3], [5, 0, 1_000_000], low="0", high="3")
    assert svg.count("M") == 2 + 1, "two bars and the axis"
    checked(svg)
    checked(meter(2.0))


def test_an_empty_profile_is_a_page() -> None:
    checked(profile_page(Profile(()), title="nothing"))
    checked(profile_page(Profile((TableProfile("t", "none", 0),)), title="nothing"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (-3.0, "-3"), (12345.678, "12,346"), (1e300, "1e+300"), (1e-9, "1e-09")],
)
def test_numbers_are_shown_short(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_tables_escape_and_set_numbers_right(tmp_path: Path) -> None:
    html = table(["a", "n"], [[NASTY, "1"]], numbers=[1])
    assert "<td class=n>1</td>" in html
    assert "<script>" not in html
    checked(html)
