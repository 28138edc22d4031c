"""The site: finds the page, makes its model in a thread of its own, and answers as HTML or JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from headrace.core.clock import Clock
from headrace.core.errors import HeadraceError, MissingDependency, NotFound, Problem
from headrace.core.tokens import Caller, Role
from headrace.serve.http.endpoint import JSON, Call, Endpoint, Refused, Reply
from headrace.serve.http.problems import ours, refusal
from headrace.web import assets
from headrace.web.entrance import BASE, SAID, TOKEN, VISIT, Door, Visit, cookie, is_secure, proven
from headrace.web.page import Asked, Page
from headrace.web.version import version

if TYPE_CHECKING:
    from headrace.project import Project
    from headrace.web.render import Renderer

_LOG = logging.getLogger("headrace.web")
HTML = b"text/html; charset=utf-8"
POLICY = (
    b"default-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; "
    b"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
"""No script but ours, none in the page; attributes of style are let, as figures have sizes."""
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", POLICY),
)
_THREADS = 2

Open = Callable[[str], "Project"]
"""The project, in the name of whoever asks (empty: as on the command line)."""


@dataclass(frozen=True)
class _Wanted:
    """What a request came to: a page and the values of its names, as JSON or not."""

    page: Page
    path: Mapping[str, str]
    as_json: bool


class Site:
    """The pages of one project. `answer` is for the thread of the server's loop."""

    def __init__(
        self, opened: Open, door: Door, clock: Clock, closed: Callable[[], None] = lambda: None
    ) -> None:
        """opened: gives the project; closed: lets go of what pages have opened."""
        self._open = opened
        self._closed = closed
        self._door = door
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pages")
        self._pages: tuple[Page, ...] = ()
        self._renderer: Renderer | None = None

    def warm(self) -> None:
        """Have pages quick from the first on, where nothing else is waited for."""
        from headrace.web.warm import warm

        warm(lambda: self._open(""))

    def close(self) -> None:
        """Let the pages that are being made come to their end."""
        self._threads.shutdown(cancel_futures=True)
        self._closed()

    def endpoints(self) -> list[Endpoint]:
        """One for every depth of a path: which pages there are is known when the first is asked for."""
        made = []
        for path in (BASE, f"{BASE}/{{a}}", f"{BASE}/{{a}}/{{b}}", f"{BASE}/{{a}}/{{b}}/{{c}}"):
            for method in ("GET", "POST"):
                hidden = path != BASE or method == "POST"
                about = "the dashboard, for people"
                made.append(Endpoint(method, path, self.answer, about, role="", hidden=hidden, doc=_DOC))
        return made

    async def answer(self, call: Call) -> Reply:
        """A page, a file of it, or what a form did."""
        parts = [call.path[n] for n in ("a", "b", "c") if n in call.path]
        if parts and parts[-1] == "":
            parts.pop()
        if parts[:1] == ["static"]:
            return await self._later(assets.serve, call, "/".join(parts[1:]))
        visit = self._door.enter(call)
        try:
            if parts == ["login"]:
                return await self._login(call, visit)
            if parts == ["logout"]:
                return self._logout(call, visit)
            if visit.stranger:
                return _stranger(call)
            if parts == ["version"]:
                return await self._later(self._version, call, visit)
            return await self._later(self._page, call, visit, parts)
        except Refused as refused:
            if _json_wanted(call, parts):
                raise
            return await self._later(self._refused, call, visit, refused)

    async def _later(self, work: Callable[..., Reply], *given: Any) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    # --- pages

    def _page(self, call: Call, visit: Visit, parts: list[str]) -> Reply:
        wanted = self._find(parts, call)
        _require(visit.who, wanted.page.role)
        if call.method == "POST":
            return self._do(call, visit, wanted)
        try:
            model = wanted.page.model(self._asked(call, visit, wanted))
        except HeadraceError as error:
            return self._told(call, visit, wanted, error)
        if wanted.as_json:
            plain = getattr(model, "plain", None)
            told = msgspec.json.encode(model if plain is None else plain())
            return Reply(told, 200, JSON, _new(call, visit), _SECURITY)
        return self._html(call, visit, wanted, model)

    def _do(self, call: Call, visit: Visit, wanted: _Wanted) -> Reply:
        form = _form(call)
        proven(call, visit, form)
        verb = wanted.page.verbs.get(form.get("do", ""))
        if verb is None:
            raise Refused(400, "this page does no such thing", where=call.target)
        _require(visit.who, verb.role)
        asked = self._asked(call, visit, wanted)
        try:
            done = verb.act(asked, form)
        except HeadraceError as error:
            if wanted.as_json:
                raise _refusal(error) from None
            return self._again(call, visit, wanted, asked, error)
        if wanted.as_json:
            return Reply(msgspec.json.encode({"said": done.said, "to": f"{BASE}/{done.to}"}))
        told = cookie(SAID, quote(done.said[:1000]), secure=is_secure(call), seconds=60)
        return _to(done.to, (told,))

    def _again(self, call: Call, visit: Visit, wanted: _Wanted, asked: Asked, error: HeadraceError) -> Reply:
        """The page as it stands, with what is wrong on top."""
        try:
            model = wanted.page.model(asked)
        except HeadraceError:
            return self._told(call, visit, wanted, error)
        return self._html(call, visit, wanted, model, status=_status(error), problems=error.problems)

    def _html(
        self,
        call: Call,
        visit: Visit,
        wanted: _Wanted,
        model: Any,
        *,
        status: int = 200,
        problems: tuple[Problem, ...] = (),
    ) -> Reply:
        headers = list(_new(call, visit))
        said = unquote(visit.cookies.get(SAID, ""))
        if said:
            headers.append(cookie(SAID, "", secure=is_secure(call), seconds=0))
        made = self.renderer.page(
            wanted.page,
            model,
            visit,
            call,
            project=self._open(visit.who.name),
            now=self._clock(),
            said=said,
            problems=problems,
        )
        return Reply(made.encode(), status, HTML, tuple(headers), _SECURITY)

    def _told(self, call: Call, visit: Visit, wanted: _Wanted, error: HeadraceError) -> Reply:
        """An error where there is no model."""
        status = _status(error)
        if wanted.as_json:
            raise _refusal(error) from None
        made = self.renderer.error(status, error.problems, visit, call)
        return Reply(made.encode(), status, HTML, _new(call, visit), _SECURITY)

    def _refused(self, call: Call, visit: Visit, refused: Refused) -> Reply:
        problem = Problem(refused.what, where=refused.where, why=refused.why, fix=refused.fix)
        made = self.renderer.error(refused.status, (problem,), visit, call)
        return Reply(made.encode(), refused.status, HTML, _new(call, visit), _SECURITY)

    def _find(self, parts: list[str], call: Call) -> _Wanted:
        as_json = _json_wanted(call, parts)
        if parts and parts[-1].endswith(".json"):
            parts = [*parts[:-1], parts[-1].removesuffix(".json")]
            parts = [] if parts == ["now"] else parts
        for page in self.pages:
            path = _match(page.path, parts)
            if path is not None:
                return _Wanted(page, path, as_json)
        there = ", ".join(f"{BASE}/{p.path}" for p in self.pages if p.label)
        raise Refused(404, "there is no such page", where=call.target, fix=f"there are {there}")

    def _asked(self, call: Call, visit: Visit, wanted: _Wanted) -> Asked:
        return Asked(self._open(visit.who.name), visit.who, self._clock(), wanted.path, call.query)

    def _version(self, call: Call, visit: Visit) -> Reply:
        _require(visit.who, Role.VIEWER)
        now = version(self._open(""))
        tag = b'"' + now.encode() + b'"'
        if call.headers.get(b"if-none-match") == tag:
            return Reply(b"", 304, JSON, ((b"etag", tag),), _SECURITY)
        return Reply(msgspec.json.encode({"version": now}), 200, JSON, ((b"etag", tag),), _SECURITY)

    # --- coming and going

    async def _login(self, call: Call, visit: Visit) -> Reply:
        if call.method == "GET":
            return await self._later(self._door_page, call, visit, "")
        form = _form(call)
        proven(call, visit, form)
        token = form.get("token", "").strip()
        if not self._door.knows(token):
            return await self._later(
                self._door_page, call, visit, "This token is unknown, expired or revoked."
            )
        return _to(_inside(form.get("next", "")), (cookie(TOKEN, token, secure=is_secure(call)),))

    def _door_page(self, call: Call, visit: Visit, wrong: str) -> Reply:
        made = self.renderer.login(visit, call, wrong=wrong, after=_inside(call.query.get("next", "")))
        return Reply(made.encode(), 401 if wrong else 200, HTML, _new(call, visit), _SECURITY)

    def _logout(self, call: Call, visit: Visit) -> Reply:
        if call.method != "POST":
            raise Refused(405, "leaving is a form's", where=call.target, headers={"Allow": "POST"})
        proven(call, visit, _form(call))
        return _to("login", (cookie(TOKEN, "", secure=is_secure(call), seconds=0),))

    # --- made when the first page is asked for

    @property
    def pages(self) -> tuple[Page, ...]:
        """Every page."""
        if not self._pages:
            from headrace.web.registry import pages

            self._pages = pages()
        return self._pages

    @property
    def renderer(self) -> Renderer:
        """What turns models into HTML.

        Raises:
            MissingDependency: Jinja2 is not installed.
        """
        if self._renderer is None:
            try:
                from headrace.web.render import Renderer
            except ModuleNotFoundError as error:
                raise MissingDependency(
                    f"pages need {error.name}, which is not installed", fix="pip install 'headrace[ui]'"
                ) from None
            self._renderer = Renderer(self.pages)
        return self._renderer


_DOC = {"answers": {"200": {"text/html": {"type": "string"}}}}


def _match(template: str, parts: list[str]) -> dict[str, str] | None:
    names = template.split("/") if template else []
    if len(names) != len(parts):
        return None
    found = {}
    for name, part in zip(names, parts, strict=True):
        if name[:1] == "{":
            found[name[1:-1]] = part
        elif name != part:
            return None
    return found


def _require(who: Caller, role: Role) -> None:
    if role not in who.roles:
        raise Refused(403, f"this is for the role {role.value}", fix="come with such a token")


def _json_wanted(call: Call, parts: list[str]) -> bool:
    if parts and parts[-1].endswith(".json"):
        return True
    accept = call.headers.get(b"accept", b"")
    return JSON in accept and b"text/html" not in accept


def _form(call: Call) -> dict[str, str]:
    """The fields of a form.

    Raises:
        Refused: 415 or 400, it is none.
    """
    kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/x-www-form-urlencoded":
        raise Refused(415, "a form is wanted", where="Content-Type")
    try:
        text = call.body.decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=200, errors="strict"))
    except ValueError as error:
        raise Refused(400, f"this is no form: {error}") from None


def _new(call: Call, visit: Visit) -> tuple[tuple[bytes, bytes], ...]:
    """The secret of a visit that begins."""
    return (cookie(VISIT, visit.secret, secure=is_secure(call)),) if visit.new else ()


def _stranger(call: Call) -> Reply:
    """Somebody who has to show a token first."""
    if _json_wanted(call, list(call.path.values())) or call.method != "GET":
        raise Refused(401, "a token is needed", where="Authorization", fix=f"open {BASE}/login")
    after = call.target + (
        "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in call.query.items()) if call.query else ""
    )
    return _to(f"login?next={quote(after, safe='')}", ())


def _to(path: str, headers: tuple[tuple[bytes, bytes], ...]) -> Reply:
    where = f"{BASE}/{path}".rstrip("/").encode("ascii", "ignore")
    return Reply(b"", 303, HTML, ((b"location", where), *headers), _SECURITY)


def _inside(after: str) -> str:
    """A path below the site's, of one that was asked for before; never another site."""
    if not after.startswith(BASE) or any(ord(c) < 33 or ord(c) > 126 or c in '\\"<>' for c in after):
        return ""
    return after.removeprefix(BASE).lstrip("/")


def _refusal(error: HeadraceError) -> Refused:
    """An error as a program is told of it."""
    first = error.problems[0]
    return Refused(_status(error), first.what, where=first.where, why=first.why, fix=first.fix)


def _status(error: HeadraceError) -> int:
    if isinstance(error, NotFound):
        return 404
    told = refusal(error)
    return (told or ours()).status
