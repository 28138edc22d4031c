"""A browser without a window: the application asked as a browser would, cookies and all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from headrace.project import Project
from headrace.serve.http.guard import Guard
from headrace.serve.http.shell import Shell
from headrace.web.mount import site_of

HOST = "127.0.0.1:8080"
NASTY = "<script>alert('x')</script>"


@dataclass
class Seen:
    """An answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((v for k, v in self.headers if k == name), "")

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Browser:
    """Opens pages and sends their forms."""

    shell: Shell
    cookies: dict[str, str] = field(default_factory=dict)
    host: str = HOST

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Seen:
        """One request; cookies are kept."""
        where = urlsplit(path)
        sent = {"host": self.host, **(headers or {})}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        scope = {
            "type": "http",
            "method": method,
            "path": where.path,
            "query_string": where.query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
        }
        got: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            got.append(message)

        asyncio.run(self.shell(scope, receive, send))
        told = [(k.decode(), v.decode()) for k, v in got[0]["headers"]]
        for name, value in told:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                kept = rest.partition(";")[0]
                if "Max-Age=0" in value:
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = kept
        return Seen(got[0]["status"], told, got[1]["body"])

    def open(self, path: str, **headers: str) -> Seen:
        """A page, as a browser asks for it."""
        return self.ask("GET", path, headers={"accept": "text/html", **headers})

    def plain(self, path: str) -> Any:
        """The model of a page as JSON."""
        found = self.ask("GET", path, headers={"accept": "application/json"})
        assert found.status == 200, found.text
        return found.json

    def code(self, page: str) -> str:
        """The code of a form on a page."""
        found = re.search(r'name="code" value="(\w+)"', self.open(page).text)
        assert found is not None, "there is no form"
        return found[1]

    def post(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        code: str | None = None,
        origin: str | None = "",
        **headers: str,
    ) -> Seen:
        """Send a form, as one of our pages would."""
        told = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html", **headers}
        if origin is not None:
            told["origin"] = origin or f"http://{self.host}"
        if code is None:
            code = self.code("/ui/login")
        return self.ask("POST", path, urlencode({**fields, "code": code}).encode(), told)

    def log_in(self, token: str) -> Seen:
        return self.post("/ui/login", {"token": token})


@contextmanager
def pages_of(project: Project, *, host: str = "127.0.0.1") -> Iterator[Shell]:
    """The pages of a project, with the guard that a server has."""
    guard = Guard(project.store, project._clock)
    actor, clock = project._actor, project._clock
    site = site_of(project.root, project.store, guard, host=host, clock=clock, actor=actor)
    shell = Shell(site.endpoints(), most=1_000_000, guard=guard)
    try:
        yield shell
    finally:
        site.close()
        guard.close()


def path_of(name: str) -> str:
    return quote(name, safe="")
