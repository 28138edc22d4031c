"""A figure as what Plotly's script is given. Plotly's own classes check every value they are given: importing
them and making a page's figures of them takes longer than all else of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import plotly.graph_objects as go

NO_TEMPLATE = {"data": {"scatter": [{"type": "scatter"}]}}
"""What Plotly calls the template `none`."""


@dataclass(frozen=True)
class Drawn:
    """A figure: traces and a layout, of plain values. Methods that Plotly's figures have are as there; a
    property that is None is left out. A notebook shows it."""

    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)

    def add_scatter(self, **trace: Any) -> Drawn:
        """Points, or a line through them."""
        return self._add("scatter", trace)

    def add_bar(self, **trace: Any) -> Drawn:
        """Bars."""
        return self._add("bar", trace)

    def add_heatmap(self, **trace: Any) -> Drawn:
        """Coloured cells."""
        return self._add("heatmap", trace)

    def add_vline(self, x: float, line: Mapping[str, Any]) -> Drawn:
        """A line from bottom to top."""
        at = {"x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain"}
        return self._shape(at, line)

    def add_hline(self, y: float, line: Mapping[str, Any]) -> Drawn:
        """A line from left to right."""
        at = {"x0": 0, "x1": 1, "xref": "x domain", "y0": y, "y1": y, "yref": "y"}
        return self._shape(at, line)

    def add_annotation(self, **said: Any) -> Drawn:
        """A text."""
        self.layout.setdefault("annotations", []).append(said)
        return self

    def update_layout(self, **changes: Any) -> Drawn:
        """Set properties; what is a mapping on both sides is merged."""
        _merge(self.layout, changes)
        return self

    def update_xaxes(self, **changes: Any) -> Drawn:
        """Set properties of the x axis."""
        return self.update_layout(xaxis=changes)

    def update_yaxes(self, **changes: Any) -> Drawn:
        """Set properties of the y axis."""
        return self.update_layout(yaxis=changes)

    def to_json(self) -> str:
        """As `go.Figure.to_json`: what is no finite number is null."""
        return msgspec.json.encode({"data": self.data, "layout": self.layout}, enc_hook=_plain).decode()

    def figure(self) -> go.Figure:
        """The same as Plotly's own.

        Raises:
            ValueError: a property is none of Plotly's.
        """
        import plotly.graph_objects as go

        return go.Figure(data=self.data, layout=self.layout)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.figure()._repr_mimebundle_(include, exclude)

    def _add(self, kind: str, trace: Mapping[str, Any]) -> Drawn:
        self.data.append({"type": kind, **{k: v for k, v in trace.items() if v is not None}})
        return self

    def _shape(self, at: Mapping[str, Any], line: Mapping[str, Any]) -> Drawn:
        self.layout.setdefault("shapes", []).append({"type": "line", **at, "line": dict(line)})
        return self


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping):
            kept = into.get(name)
            mine = into[name] = dict(kept) if isinstance(kept, Mapping) else {}
            _merge(mine, value)
        elif value is None:
            into.pop(name, None)
        else:
            into[name] = value


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist()
