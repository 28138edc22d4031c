"""GET /docs: what a caller has to know, with a form to try it. Everything comes from this server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from headrace.serve.describe import HELD, describe
from headrace.serve.desk.desk import Desk
from headrace.serve.http.asking import champion
from headrace.serve.http.endpoint import Call, Endpoint, Reply
from headrace.serve.http.openapi import example
from headrace.serve.http.tensors import inputs_of
from headrace.serve.live import Served

HTML = b"text/html; charset=utf-8"
_PAGE = Path(__file__).parent / "page"
_MEDIA = {"page.css": b"text/css; charset=utf-8", "page.js": b"text/javascript; charset=utf-8"}
_MOST_CATEGORIES = 12


def docs_page(desk: Desk, there: Callable[[], Iterable[Endpoint]]) -> list[Endpoint]:
    """The endpoints: the page, and its style and script (the policy of content allows none inside of it)."""
    files = {name: (_PAGE / name).read_bytes() for name in _MEDIA}

    def show(call: Call) -> Reply:
        # A browser shows no token: strangers get the page without what training held.
        return Reply(page(champion(desk), there(), stranger=not call.caller.roles).encode(), media=HTML)

    def file(name: str) -> Endpoint:
        reply = Reply(files[name], media=_MEDIA[name])
        return Endpoint("GET", f"/docs/{name}", lambda _: reply, "a part of the page", role="", hidden=True)

    doc = {"answers": {"200": {"text/html": {"type": "string"}}}}
    return [
        Endpoint("GET", "/docs", show, "a page for callers, with a form to try it", role="", doc=doc),
        *(file(name) for name in _MEDIA),
    ]


def page(served: Served, endpoints: Iterable[Endpoint], *, stranger: bool = False) -> str:
    """The page of a release; for a stranger without what its training rows held."""
    manifest = served.manifest
    told = describe(manifest, served.release)
    if stranger:
        for kind in ("fields", "looked_up"):
            told[kind] = [{k: v for k, v in c.items() if k not in HELD} for c in told[kind]]
    row = dict.fromkeys(c["name"] for c in told["fields"]) if stranger else example(told)
    title = escape(manifest.project)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · callers</title>
<link rel="stylesheet" href="docs/page.css">
<script src="docs/page.js" defer></script>
</head>
<body>
<h1>{title}</h1>
<p>Predicts <code>{escape(manifest.target)}</code> ({escape(told["task"])}). Release <code>{
        escape(served.release)
    }</code> is the champion. <a href="openapi.json">OpenAPI document</a> · <a href="schema">schema</a></p>
<h2>Try it</h2>
<p class="soft">A field left empty is sent as null.</p>
<form>
{"".join(_input(column, row[column["name"]]) for column in told["fields"])}
<div class="row">
{_extra(told)}
<label>Token, where one is asked for<input type="password" name="?token" autocomplete="off"></label>
<button>Send</button>
</div>
</form>
<p id="status" class="status" aria-live="polite"></p>
<pre id="answer" aria-label="answer">The answer comes here.</pre>
<pre id="curl" aria-label="the same request with curl"></pre>
<h2>What to send</h2>
<table><thead><tr><th>Column</th><th>Type</th><th>Training rows held</th><th>Meaning</th></tr></thead><tbody>
{"".join(_column(column) for column in told["fields"])}
</tbody></table>
{_added(told)}
<h2>What comes back</h2>
<table><tbody>
{"".join(_line(name, what) for name, what in {**told["answer"], **_SERVER}.items())}
</tbody></table>
<h2>The same in other protocols</h2>
<p>Open Inference Protocol v2 (KServe, Triton, tritonclient): <code>POST /v2/models/{title}/infer</code></p>
<pre>{_json(_tensors(served, row))}</pre>
<p>MLflow: <code>POST /invocations</code></p>
<pre>{_json({"dataframe_records": [row]})}</pre>
<h2>Everything there is</h2>
<table><tbody>
{"".join(_line(f"{e.method} {e.path}", _about(e)) for e in endpoints if not e.hidden)}
</tbody></table>
</body>
</html>
"""


_SERVER = {
    "id": "of the prediction: labels are joined by it",
    "route, arm": "which route was asked, and which of its arms the row drew",
    "by": "model, rule: NAME, or fallback: WHAT (WHY)",
    "fallback": "whether something else than the arm's release answered",
    "flags": "what was odd about the row, such as range: COLUMN",
    "review": "whether a person will look",
}


def _input(column: Mapping[str, Any], value: Any) -> str:
    """A field of the form."""
    name, kind = escape(column["name"]), column["type"]
    head = f'<label><span class="name">{name}</span>'
    said = escape(column.get("description", "")) or _range(column)
    tail = f'<span class="soft">{said}</span></label>\n'
    attributes = f'name="{name}" data-type="{kind}"'
    if kind == "bool":
        options = "".join(
            f'<option value="{v}"{" selected" if v == json.dumps(value) else ""}>{t}</option>'
            for v, t in (("true", "true"), ("false", "false"), ("", "null"))
        )
        return f"{head}<select {attributes}>{options}</select>{tail}"
    shown = escape(str(value))
    if kind == "number":
        return f'{head}<input {attributes} type="text" inputmode="decimal" value="{shown}">{tail}'
    return f'{head}<input {attributes} type="text" value="{shown}">{tail}'


def _extra(told: Mapping[str, Any]) -> str:
    if told["explain"] is None:
        return ""
    return (
        '<label>Contributions to name (explain)<input name="?explain" type="text" inputmode="numeric" '
        'placeholder="none"></label>'
    )


def _column(column: Mapping[str, Any]) -> str:
    key = ", a key" if column["key"] else ""
    cells = (
        f"<code>{escape(column['name'])}</code>",
        f"{column['type']}{key}",
        _range(column),
        escape(column.get("description", "")),
    )
    return f"<tr>{''.join(f'<td>{c}</td>' for c in cells)}</tr>\n"


def _range(column: Mapping[str, Any]) -> str:
    """What training held, ready for HTML."""
    low, high, categories = column.get("low"), column.get("high"), column.get("categories", [])
    parts = []
    if low is not None and high is not None and column["type"] != "bool":
        shown = [f"{v:.6g}" if isinstance(v, float) else str(v).replace(".000000Z", "Z") for v in (low, high)]
        parts.append(" to ".join(shown))
    if categories:
        more = len(categories) - _MOST_CATEGORIES
        told = ", ".join(categories[:_MOST_CATEGORIES])
        parts.append(told + (f" and {more} more" if more > 0 else ""))
    if column.get("null_share"):
        parts.append(f"{column['null_share']:.1%} null")
    return escape("; ".join(parts))


def _added(told: Mapping[str, Any]) -> str:
    """What the server adds by itself."""
    names = [f["name"] for f in (*told["looked_up"], *told["histories"], *told["functions"])]
    if not names:
        return ""
    listed = ", ".join(f"<code>{escape(n)}</code>" for n in dict.fromkeys(names))
    return f'<p class="soft">The server adds {listed}: they are not sent.</p>'


def _line(name: str, what: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(what)}</td></tr>\n"


def _about(endpoint: Endpoint) -> str:
    return f"{endpoint.about} ({endpoint.role})" if endpoint.role not in ("", "caller") else endpoint.about


def _tensors(served: Served, row: Mapping[str, Any]) -> dict[str, Any]:
    tensors = inputs_of(served.answerer.types)
    return {"inputs": [{**t, "shape": [1], "data": [row[t["name"]]]} for t in tensors]}


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False))
