"""Connections over real sockets: what HTTP/1.1 asks for, and what a sender can cost."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import pytest
import uvloop

from headrace.serve.http.endpoint import Call, Endpoint, Refused, Reply, json_reply
from headrace.serve.http.limits import Limits
from headrace.serve.http.shell import Shell
from headrace.serve.http.wire import Connection, Wire

MOST = 200_000
BIG, HUGE = 60_000, 20_000_000
POST = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"


class Server:
    """A wire with a few endpoints. `gate` holds up what asks for /wait; `begun` counts those."""

    def __init__(self, limits: Limits) -> None:
        async def echo(call: Call) -> Reply:
            await asyncio.sleep(0)
            return json_reply({"bytes": len(call.body), "query": dict(call.query), "path": call.target})

        async def wait(_: Call) -> Reply:
            self.begun += 1
            await self.gate.wait()
            return json_reply("waited")

        def at_once(_: Call) -> Reply:
            return Reply(b"{}", 200, headers=((b"x-more", b"yes"),))

        def stalls(_: Call) -> Reply:
            self.stall()
            return json_reply("went on")

        def began(call: Call) -> Reply:
            return json_reply(call.started)

        async def breaks(_: Call) -> Reply:
            raise RuntimeError("inside")

        def refuses(_: Call) -> Reply:
            raise Refused(418, "no tea")

        endpoints = [
            Endpoint("POST", "/echo", echo, ""),
            Endpoint("GET", "/things/{name}", echo, ""),
            Endpoint("POST", "/wait", wait, ""),
            Endpoint("GET", "/now", at_once, ""),
            Endpoint("GET", "/big", lambda _: Reply(b"b" * BIG), ""),
            Endpoint("GET", "/huge", lambda _: Reply(b"h" * HUGE), ""),
            Endpoint("GET", "/stalls", stalls, ""),
            Endpoint("GET", "/began", began, ""),
            Endpoint("GET", "/breaks", breaks, ""),
            Endpoint("GET", "/refuses", refuses, ""),
        ]
        self.gate, self.begun, self.port = asyncio.Event(), 0, 0
        self.stall: Callable[[], None] = lambda: None
        self.wire = Wire(Shell(endpoints, most=MOST), limits, asyncio.get_running_loop())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, data: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
        """So many answers of one connection that sends this; one that ends it is the last."""
        reader, writer = await self.connect()
        writer.write(data)
        told = [await asyncio.wait_for(answer(reader), 60) for _ in range(answers)]
        if told[-1][1].get("connection") == "close":
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
        return told


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    line = await reader.readuntil(b"\r\n")
    status = int(line.split()[1])
    headers = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode().partition(":")
        headers[name] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0))) if status != 100 else b""
    return status, headers, body


def run(work: Callable[[Server], Awaitable[None]], **limits: Any) -> None:
    async def whole() -> None:
        server = Server(Limits(**limits))
        listening = await asyncio.get_running_loop().create_server(server.wire.connection, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        try:
            await work(server)
        finally:
            server.gate.set()
            listening.close()
            await server.wire.drain(5)

    asyncio.run(whole())


def what(body: bytes) -> str:
    told = json.loads(body)
    assert list(told) == ["type", "title", "status", "detail", "errors"]
    return str(told["detail"])


def test_answers_come_in_the_order_of_their_requests() -> None:
    async def work(server: Server) -> None:
        sizes = [0, 5, 3000, 1, 77]
        asked = b"".join(POST % (n, b"x" * n) for n in sizes) + b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n"
        told = await server.say(asked, 6)
        assert [json.loads(b).get("bytes") for _, _, b in told] == [*sizes, None]
        assert all(s == 200 and "date" in h and "connection" not in h for s, h, _ in told)
        assert told[-1][1]["x-more"] == "yes"

    run(work)


def test_many_requests_at_once_on_one_connection_are_all_answered() -> None:
    async def work(server: Server) -> None:
        told = await server.say(b"".join(POST % (3, b"%3d" % i) for i in range(300)), 300)
        assert [s for s, _, _ in told] == [200] * 300

    run(work)


def test_a_request_may_come_byte_by_byte() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        for byte in POST % (4, b"abcd"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        status, _, body = await answer(reader)
        assert (status, json.loads(body)["bytes"]) == (200, 4)
        writer.close()

    run(work)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n", True),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", False),
        (b"GET /now HTTP/1.0\r\n\r\n", False),
        (b"GET /now HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", True),
    ],
)
def test_connections_are_kept_as_callers_wish(asked: bytes, kept: bool) -> None:
    async def work(server: Server) -> None:
        told = await server.say(asked + asked, 2 if kept else 1)
        assert [s for s, _, _ in told] == [200] * (2 if kept else 1)
        assert (told[0][1].get("connection") == "close") is not kept

    run(work)


def test_paths_queries_and_other_forms() -> None:
    async def work(server: Server) -> None:
        asked = b"GET /things/a%20b?x=%C3%BC&y= HTTP/1.1\r\nhost: x\r\n\r\n"
        (told,) = await server.say(asked)
        assert json.loads(told[2]) == {"bytes": 0, "query": {"x": "ü", "y": ""}, "path": "/things/a b"}
        ((status, _, _),) = await server.say(b"GET http://x/now?a=b HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status == 200
        ((status, headers, _),) = await server.say(b"DELETE /now HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (status, headers["allow"]) == (405, "GET")
        ((status, _, body),) = await server.say(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status == 404 and "no such path" in what(body)

    run(work)


def test_head_has_no_body_and_its_length() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"HEAD /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        told = await reader.read()
        assert b"content-length: 2\r\n" in told and told.endswith(b"\r\n\r\n")
        writer.close()

    run(work)


def test_who_expects_to_be_asked_for_the_body_is() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (await answer(reader))[0] == 100
        writer.write(b"abc")
        assert (await answer(reader))[0] == 200
        writer.close()

    run(work)


def test_what_fails_inside_says_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def work(server: Server) -> None:
        asked = b"GET /breaks HTTP/1.1\r\nhost: x\r\n\r\nGET /refuses HTTP/1.1\r\nhost: x\r\n\r\n"
        (broken, refused) = await server.say(asked, 2)
        assert broken[0] == 500 and b"inside" not in broken[2]
        assert (refused[0], what(refused[2])) == (418, "no tea")

    run(work)
    assert "inside" in caplog.text


@pytest.mark.parametrize(
    "asked",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /now HTTP/9.9\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: -4\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_and_the_end(asked: bytes) -> None:
    async def work(server: Server) -> None:
        told = await server.say(asked)
        assert [s for s, _, _ in told] == [400]
        assert told[0][1]["connection"] == "close"
        assert what(told[0][2]).startswith("this is no HTTP")

    run(work)


@pytest.mark.parametrize(
    "head",
    [
        b"x-long: " + b"a" * 70_000,
        b"\r\n".join(b"x-%d: 1" % i for i in range(150)),
        b"\r\n".join(b"x-%d: %b" % (i, b"b" * 1000) for i in range(90)),
    ],
)
def test_long_heads_are_refused(head: bytes) -> None:
    async def work(server: Server) -> None:
        told = await server.say(b"GET /now HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
        assert [s for s, _, _ in told] == [431]

    run(work)


def test_a_head_that_never_ends_is_refused_when_it_is_too_long() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"GET /now HTTP/1.1\r\nx: " + b"a" * 200_000)
        assert (await answer(reader))[0] == 431
        writer.close()

    run(work)


def test_large_bodies_are_refused_with_an_answer_that_arrives() -> None:
    async def work(server: Server) -> None:
        ((status, _, body),) = await server.say(POST % (MOST * 40, b"x" * MOST * 40))
        assert (status == 413 and "0.2 MB" in what(body)) or "200,000 bytes" in what(body)
        chunks = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(20))
        head = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        ((status, _, _),) = await server.say(head + chunks + b"0\r\n\r\n")
        assert status == 413
        ((status, _, body),) = await server.say(POST % (MOST, b"x" * MOST))
        assert (status, json.loads(body)["bytes"]) == (200, MOST)
        assert server.wire.bytes == 0

    run(work)


def test_a_refused_request_is_read_over_and_the_connection_stays() -> None:
    async def work(server: Server) -> None:
        asked = b"POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000
        told = await server.say(asked + POST % (2, b"ab"), 2)
        assert [s for s, _, _ in told] == [404, 200]

    run(work)


def test_slow_senders_are_let_go() -> None:
    async def work(server: Server) -> None:
        for begun in (b"GET /no", b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc"):
            reader, writer = await server.connect()
            writer.write(begun)
            status, headers, _ = await asyncio.wait_for(answer(reader), 10)
            assert (status, headers["connection"]) == (408, "close")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

    run(work, patience=0.3, linger=0.5)


def test_connections_without_a_request_are_closed() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        reader, writer = await server.connect()
        writer.write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await answer(reader))[0] == 200
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    run(work, idle=0.3)


def test_what_came_while_the_process_was_held_up_is_answered() -> None:
    """Though the connection has been idle for too long by the clock. By uvloop, as in production: it looks at
    its clock between what it read and what came meanwhile."""

    async def work() -> bytes:
        server = Server(Limits(idle=0.3))
        listening = await asyncio.get_running_loop().create_server(server.wire.connection, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        line = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        try:
            while not server.wire.connections:
                await asyncio.sleep(0.01)

            def stall() -> None:
                line.sendall(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
                time.sleep(1.0)

            server.stall = stall
            await server.say(b"GET /stalls HTTP/1.1\r\nhost: x\r\n\r\n")
            return await asyncio.to_thread(line.recv, 1000)
        finally:
            line.close()
            listening.close()
            await server.wire.drain(5)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(work()).startswith(b"HTTP/1.1 200 OK")


def test_who_does_not_read_is_not_read_from_and_let_go() -> None:
    async def work(server: Server) -> None:
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        asked = b"GET /never/%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"p" * 4000)
        for _ in range(3000):  # their answers are longer than all buffers together
            writer.write(asked)
        while not server.wire.connections:
            await asyncio.sleep(0.01)
        (there,) = server.wire.connections
        deaf = False
        while server.wire.connections:
            deaf = deaf or not there._transport.is_reading()
            await asyncio.sleep(0.01)
        assert deaf, "no more was read of who does not read"
        writer.transport.abort()

    run(work, slow=1.0)


def test_more_connections_than_are_borne_get_a_503() -> None:
    async def work(server: Server) -> None:
        held = [await server.connect() for _ in range(3)]
        while len(server.wire.connections) < 3:
            await asyncio.sleep(0.01)
        reader, writer = await server.connect()
        status, headers, _ = await answer(reader)
        assert (status, headers["retry-after"]) == (503, "1")
        writer.close()
        for _, one in held:
            one.close()

    run(work, connections=3)


def test_more_requests_than_may_wait_get_a_429_and_what_is_cheap_is_answered() -> None:
    async def work(server: Server) -> None:
        asked = b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        held = [await server.connect() for _ in range(5)]
        for _, writer in held:
            writer.write(asked)
        while server.begun < 5:
            await asyncio.sleep(0.01)
        ((status, headers, body),) = await server.say(asked)
        assert (status, headers["retry-after"]) == (429, "1") and "busy" in what(body)
        ((status, _, _),) = await server.say(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status == 200
        server.gate.set()
        assert [(await answer(reader))[0] for reader, _ in held] == [200] * 5
        assert server.wire.waiting == 0
        for _, writer in held:
            writer.close()

    run(work, waiting=5)


def test_bodies_that_wait_are_bounded_together() -> None:
    async def work(server: Server) -> None:
        held = [await server.connect() for _ in range(3)]
        for _, writer in held:
            writer.write(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 100_000)
        while server.begun < 3:
            await asyncio.sleep(0.01)
        ((status, _, _),) = await server.say(POST % (100_000, b"x" * 100_000))
        assert status == 429
        server.gate.set()
        assert [(await answer(reader))[0] for reader, _ in held] == [200] * 3
        for _, writer in held:
            writer.close()
        while server.wire.connections:
            await asyncio.sleep(0.01)
        assert server.wire.bytes == 0

    run(work, bytes=350_000, linger=0.3)


def test_who_closes_their_half_gets_what_they_asked_for() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(POST % (3, b"abc") + POST % (4, b"abcd"))
        writer.write_eof()
        told = [await answer(reader) for _ in range(2)]
        assert [json.loads(body)["bytes"] for _, _, body in told] == [3, 4]
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    run(work)


def test_a_caller_who_leaves_costs_nothing_that_stays() -> None:
    async def work(server: Server) -> None:
        for _ in range(20):
            _, writer = await server.connect()
            writer.write(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde")
            while server.begun < 1:
                await asyncio.sleep(0.01)
            server.begun = 0
            writer.transport.abort()
        server.gate.set()
        while server.wire.connections or server.wire.waiting:
            await asyncio.sleep(0.01)
        assert server.wire.bytes == 0

    run(work)


def test_draining_answers_what_was_begun_and_what_still_comes() -> None:
    async def work(server: Server) -> None:
        busy, idle = await server.connect(), await server.connect()
        busy[1].write(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        while server.begun < 1:
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(server.wire.drain(10))
        await asyncio.sleep(0.1)
        idle[1].write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
        status, headers, _ = await answer(idle[0])
        assert (status, headers["connection"]) == (200, "close")
        server.gate.set()
        status, headers, _ = await answer(busy[0])
        assert (status, headers["connection"]) == (200, "close")
        assert await draining
        for _, writer in (busy, idle):
            writer.close()

    run(work)


def test_deadlines_begin_with_each_request_and_patience_with_what_is_left() -> None:
    async def work(server: Server) -> None:
        before = perf_counter()
        reader, writer = await server.connect()
        writer.write(b"GET /began HTTP/1.1\r\nhost: x\r\n\r\n" * 3 + b"GET /no")
        began = [json.loads((await answer(reader))[2]) for _ in range(3)]
        assert all(before <= b <= perf_counter() for b in began)
        status, _, body = await asyncio.wait_for(answer(reader), 20)
        assert status == 408 and "did not come to its end" in what(body)
        writer.close()

    run(work, patience=0.3, idle=60.0)


OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


@pytest.mark.parametrize("cut", [0, 7, 40, 130, 138, 140])
def test_who_offers_another_protocol_is_answered_in_this_one(cut: int) -> None:
    async def work(server: Server) -> None:
        asked = b"POST /echo?a=1 HTTP/1.1\r\nhost: x\r\n" + OFFER + b"content-length: 5\r\n\r\nabcde"
        reader, writer = await server.connect()
        for part in (asked[:cut], asked[cut:] + asked + b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n", asked):
            writer.write(part)
            await asyncio.sleep(0.01)
        for length in (5, 5, None, 5):
            status, headers, body = await asyncio.wait_for(answer(reader), 20)
            assert (status, json.loads(body).get("bytes")) == (200, length)
            assert "connection" not in headers
        writer.close()

    run(work)


def test_there_is_nothing_to_connect_to() -> None:
    async def work(server: Server) -> None:
        ((status, headers, _),) = await server.say(b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n\x16\x03\x01")
        assert (status, headers["connection"]) == (404, "close")

    run(work)


def test_answers_are_made_as_fast_as_they_are_read() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n" * 2000)
        most = 0
        for _ in range(30):
            await asyncio.sleep(0.01)
            most = max([most, *(unsent(c) for c in server.wire.connections)])
            assert all(len(c._waiting) < 1000 for c in server.wire.connections)
        assert most < 8 * BIG
        for _ in range(2000):
            status, _, body = await asyncio.wait_for(answer(reader), 20)
            assert (status, len(body)) == (200, BIG)
        writer.write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(answer(reader), 20))[0] == 200
        writer.close()

    run(work)


def unsent(connection: Connection) -> int:
    return connection._transport.get_write_buffer_size()


@pytest.mark.parametrize("end", [b"x-t: " + b"t" * 300_000, b"x-t: 1\r\n" * 40_000, b""])
def test_trailers_say_nothing_and_are_bounded(end: bytes) -> None:
    async def work(server: Server) -> None:
        head = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
        few = b"authorization: Basic x\r\nx-t: 1\r\n\r\n"
        told = await server.say(head + few + head + end + (b"\r\n" if not end else b""), 2)
        assert [s for s, _, _ in told] == [200, 431 if end else 200]

    run(work)


def test_many_small_chunks_are_a_body() -> None:
    async def work(server: Server) -> None:
        head = b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        ((status, _, body),) = await server.say(head + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
        assert (status, json.loads(body)["bytes"]) == (200, 50_000)

    run(work)


def test_the_last_answer_waits_for_a_slow_reader() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        writer.write(b"GET /huge HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await asyncio.sleep(1.5)  # two looks beyond `linger`
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # a stream's transport reads
        status, _, body = await asyncio.wait_for(answer(reader), 20)
        assert (status, len(body)) == (200, HUGE)
        writer.close()

    run(work, linger=0.1)


def test_nothing_follows_an_answer_that_ends_the_connection() -> None:
    async def work(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(b"POST /wait HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        writer.write(POST % (3, b"abc"))
        while server.begun < 1:
            await asyncio.sleep(0.01)
        server.gate.set()
        assert (await answer(reader))[1]["connection"] == "close"
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    run(work, linger=0.3)


def test_the_bodies_of_who_has_left_count_until_they_are_answered() -> None:
    async def work(server: Server) -> None:
        _, writer = await server.connect()
        writer.write(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde" + POST % (3, b"abc"))
        while server.wire.bytes < 8:
            await asyncio.sleep(0.01)
        at_once = struct.pack("ii", 1, 0)  # closed by a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()
        while server.wire.connections:
            await asyncio.sleep(0.01)
        assert server.wire.bytes == 5
        draining = asyncio.create_task(server.wire.drain(20))
        await asyncio.sleep(0.1)
        assert not draining.done()
        server.gate.set()
        assert await draining
        assert server.wire.bytes == 0

    run(work)
