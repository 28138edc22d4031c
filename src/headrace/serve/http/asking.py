"""What every protocol asks of the desk, and in which form other libraries write JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from headrace.core.errors import did_you_mean
from headrace.core.routes import DEFAULT
from headrace.serve.desk.desk import Asked, Desk
from headrace.serve.desk.entries import SLICE
from headrace.serve.http.endpoint import Call, Refused, Reply, json_reply
from headrace.serve.live import Served
from headrace.serve.why import TOP

MOST_EXPLAINED = 100
"""Rows of a request whose answers are explained: each takes thousands of answers."""
LARGE = 1 << 18
"""Bytes of a body that is not read in one go."""
_T = TypeVar("_T")
_WHOLE = re.compile(r"[0-9]{1,9}")
_WORDS = {"": True, "true": True, "false": False}
# A string (an open one to the end, so that no body is scanned twice), or a number that only Python writes.
_ODD = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)


class Reading:
    """Reads bodies: a large one by a thread, beside which others have their turn. One at a time, since what
    is read of it takes many times its memory."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def read(self, body: bytes, work: Callable[[], _T]) -> _T:
        """What `work` makes of this body, and what it raises."""
        if len(body) < LARGE:
            return work()
        async with self._turn:
            return await asyncio.to_thread(work)


def champion(desk: Desk) -> Served:
    """The release that answers what no arm takes."""
    scene = desk.live.scene
    return scene.served[scene.champion]


def asked_of(
    desk: Desk, call: Call, rows: int, *, route: Any = "", release: Any = "", explain: Any = None
) -> Asked:
    """What a caller wants beside the rows, checked.

    explain: true, false, or how many contributions; None: the query says.

    Raises:
        Refused: 403, not for this caller; 404, no such route or release; 413, more rows than are taken; 422,
            another form.
    """
    scene = desk.live.scene
    if release:
        call.require("operator")
    if not isinstance(route, str) or (route and route not in scene.routes):
        fix = did_you_mean(str(route), scene.routes)
        raise Refused(404, f"there is no route {_short(route)}", where="route", fix=fix)
    if not isinstance(release, str) or (release and release not in scene.served):
        fix = f"loaded: {', '.join(scene.served)}"
        raise Refused(404, f"the release {_short(release)} answers on no route", where="release", fix=fix)
    call.require_route(route or DEFAULT)
    most = scene.served[release or scene.champion].manifest.plan.rows
    if rows > most:
        raise Refused(413, f"{rows:,} rows in one request", fix=f"send at most {most:,}")
    top = explain_of(call.query.get("explain") if explain is None else explain)
    if top and rows > MOST_EXPLAINED:
        what = f"{rows:,} rows to explain in one request"
        raise Refused(413, what, fix=f"send at most {MOST_EXPLAINED:,}")
    return Asked(call.started, route=route or DEFAULT, release=release, explain=top)


def explain_of(asked: Any) -> int:
    """How many contributions are wanted.

    Raises:
        Refused: 422, it is neither true, false nor a number.
    """
    if isinstance(asked, str):
        word = asked.lower()
        asked = _WORDS.get(word, int(word) if _WHOLE.fullmatch(word) else asked)
    if asked is None or asked is False:
        return 0
    if asked is True:
        return TOP
    if not isinstance(asked, int) or asked < 0:
        raise Refused(422, "`explain` is true, false, or how many contributions to name", where="explain")
    return asked


def python_json(call: Call) -> Any:
    """The body as `Call.json`, but a bare NaN is null: Python's json and rapidjson write it for what is
    missing. Infinity is an object, which fits no column, so that its field is named.

    Raises:
        Refused: 400, it is no JSON.
    """
    try:
        return call.json()
    except Refused:
        if b"NaN" not in call.body and b"Infinity" not in call.body:
            raise
    return replace(call, body=_plain(call.body)).json()


async def sliced_json(desk: Desk, call: Call) -> Any:
    """The body as `Call.json`. A long list, or one below a name, is read in slices, between which others
    have their turn; what is in one of more rows than are taken is left as it came.

    Raises:
        Refused: 400, it is no JSON.
    """
    most = max(s.manifest.plan.rows for s in desk.live.scene.served.values())
    try:
        return await _sliced(msgspec.Raw(call.body), most)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return call.json()  # it tells what is wrong


async def _sliced(text: msgspec.Raw, most: int, *, below: bool = True) -> Any:
    first = bytes(memoryview(text)[:64]).lstrip()[:1]
    if below and first == b"{":
        named = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {name: await _sliced(value, most, below=False) for name, value in named.items()}
    if first != b"[" or memoryview(text).nbytes < LARGE:
        return msgspec.json.decode(text)
    there = msgspec.json.decode(text, type=list[msgspec.Raw])
    if len(there) > most:
        return there
    found: list[Any] = []
    for at in range(0, len(there), SLICE):
        await asyncio.sleep(0)
        found += msgspec.json.decode(b"[%b]" % b",".join(there[at : at + SLICE]))
    return found


async def told_in_slices(name: str, answers: Sequence[Any]) -> Reply:
    """A list below a name as a reply: a long one is written in slices, between which others have their
    turn."""
    if len(answers) <= SLICE:
        return json_reply({name: answers})
    parts = []
    for at in range(0, len(answers), SLICE):
        await asyncio.sleep(0)
        parts.append(msgspec.json.encode(answers[at : at + SLICE])[1:-1])
    return Reply(b'{"%b":[%b]}' % (name.encode(), b",".join(parts)))


def rows_of(columns: Mapping[str, Sequence[Any]], rows: int) -> list[dict[str, Any]]:
    """Columns of equal length as rows."""
    if not columns:
        return [{} for _ in range(rows)]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _plain(body: bytes) -> bytes:
    told, at = bytearray(), 0  # not `sub`, which holds a piece for every string until the end
    for odd in _ODD.finditer(body):
        text = odd.group()
        if text[:1] != b'"':
            told += body[at : odd.start()]
            told += b"null" if text.endswith(b"NaN") else b'{"%s":true}' % text
            at = odd.end()
    return bytes(told + body[at:])


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 else told[:57] + "…"
