"""A caller of an ASGI application in this process. Not starlette's own, which warns about httpx."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from said import said

from headrace.serve.http.shell import Shell


class Client:
    """Sends one request at a time; what the application raises on top of its answer is dropped."""

    def __init__(self, app: Shell) -> None:
        self._app = app

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **given)

        return asyncio.run(send())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)


def answered(response: httpx.Response) -> Any:
    """What the release said."""
    return said(response.json())
