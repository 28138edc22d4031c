"""HTTP/1.1 as bytes: the head of an answer, and that of a request as others should have written it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote

from headrace.serve.http.endpoint import Reply
from headrace.serve.http.shell import Entered

_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s, s.phrase.encode()) for s in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A whole request that waits for its turn. entered: the endpoint's; a `Reply` where it was refused. old:
    of HTTP/1.0."""

    entered: Entered | Reply
    body: bytes
    began: float
    head_only: bool
    keep: bool
    old: bool


def answer_of(reply: Reply, common: bytes, *, keep: bool, old: bool, head_only: bool) -> bytes:
    """A reply as it is sent. common: header lines of all answers, the date first; old: to a request of
    HTTP/1.0, which has to be told that the connection is kept."""
    if reply.security:
        common = _with(common, reply.security)
    told = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n"
    head = told % (_LINES[reply.status], common, reply.media, len(reply.body))
    if reply.headers:
        head += b"".join([b"%b: %b\r\n" % header for header in reply.headers])
    if not keep:
        head += b"connection: close\r\n"
    elif old:
        head += b"connection: keep-alive\r\n"
    return head + b"\r\n" if head_only else b"%b\r\n%b" % (head, reply.body)


def _with(common: bytes, security: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The date, and a reply's own headers of security."""
    date, _, _ = common.partition(b"\r\n")
    return b"".join([date, b"\r\n", *(b"%b: %b\r\n" % header for header in security)])


def target_of(url: bytes) -> tuple[str, bytes]:
    """A request's path, decoded, and its query."""
    if url[:1] != b"/" and b"://" in url:  # in absolute form, as proxies send it
        url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
    path, _, query = url.partition(b"?")
    told = path.decode("latin-1")
    return unquote(told) if "%" in told else told, query


def without_upgrade(method: bytes, url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of a request that asks for no other protocol. headers: of a parser, which has found no line's
    end in them."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
