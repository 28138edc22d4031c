"""A reply's own headers of security stand in place of the server's, on the wire as in the application."""

from headrace.serve.http.endpoint import Reply
from headrace.serve.http.lines import answer_of

COMMON = b"date: today\r\ncache-control: no-store\r\ncontent-security-policy: default-src 'self'\r\n"


def test_a_replys_own_headers_replace_the_common_ones() -> None:
    own = Reply(b"x", headers=((b"etag", b"1"),), security=((b"cache-control", b"immutable"),))
    told = answer_of(own, COMMON, keep=True, old=False, head_only=False)
    assert told.count(b"cache-control") == 1
    assert b"cache-control: immutable\r\n" in told and b"etag: 1\r\n" in told
    assert b"content-security-policy" not in told
    assert b"date: today\r\n" in told and told.endswith(b"\r\n\r\nx")


def test_other_replies_have_the_common_ones() -> None:
    told = answer_of(Reply(b"x"), COMMON, keep=True, old=False, head_only=False)
    assert COMMON in told
