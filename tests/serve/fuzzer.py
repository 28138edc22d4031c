"""Requests that nobody should send: made by chance from sound ones, and what has to come back.

Each has a name of its kind, the bytes that go over the wire, and, where one field was spoilt, that field: a
refusal has to name it.
"""

from __future__ import annotations

import json
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.core.schema import Type

JSON = "application/json"
PATIENCE = 20.0
"""Seconds after which an answer is a hang."""


@dataclass(frozen=True)
class Fuzzed:
    """A request. field: what a refusal has to name (empty: nothing certain). alone: it may leave the
    connection in no state for another; partial: it may go unanswered, because it does not come to its end."""

    kind: str
    wire: bytes
    field: str = ""
    alone: bool = False
    partial: bool = False


@dataclass
class Found:
    """What came of them: how many by kind and status, and what should not have come."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


Row = dict[str, Any]


class Fuzzer:
    """Makes requests by chance. rows: sound ones, as callers send them; types: their columns."""

    def __init__(self, rows: Sequence[Row], types: dict[str, Type], model: str, seed: int) -> None:
        self.rows, self.types, self.model = rows, types, model
        self.rng = random.Random(seed)
        self._kinds: list[tuple[int, Callable[[], Fuzzed]]] = [
            (10, self._spoilt_row),
            (6, self._spoilt_rows),
            (6, self._odd_json),
            (6, self._tensors),
            (5, self._binary),
            (6, self._mlflow),
            (4, self._csv),
            (5, self._elsewhere),
            (4, self._query),
            (4, self._head),
            (6, self._mutated),
            (4, self._broken_http),
            (2, self._valid),
        ]

    def next(self) -> Fuzzed:
        """Another one."""
        weights = [w for w, _ in self._kinds]
        return self.rng.choices([k for _, k in self._kinds], weights)[0]()

    # --- rows

    def _row(self) -> Row:
        return dict(self.rng.choice(self.rows))

    def _valid(self) -> Fuzzed:
        return Fuzzed("valid", post("/predict", dumps(self._row())))

    def _odd(self) -> Any:
        """A value that fits few columns."""
        rng = self.rng
        return rng.choice(
            [
                *(None, True, False, 0, -1, "", "NaN", "a" * rng.randint(0, 3000), [], {}, [None], {"a": 1}),
                *(10**400, -(10**400), 10**30, 2**63, 2**64, 1e308, -1e308, 5e-324, 0.1, -0.0),
                *("\x00", "a\x00b", "\ud7ff", "\u2028", "😀", "0000-00-00", "2013-13-01", "2013-06-01T25:00"),
                *("9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00-23:59", "2013-06-01T05:00:00+99:99"),
                *("١٢٣", "1e5", "Infinity", "null", "2013-06-01", "20130601", "2013-W22-6", " 2013-06-01"),
                *([[[]]], {"": {}}, [1, 2, 3], "2016-12-31T23:59:60Z", "2013-06-01T05:00:00.123456789Z"),
            ]
        )

    def _wrong_for(self, kind: Type) -> Any:
        """A value that is certainly wrong for a column."""
        wrong: dict[Type, list[Any]] = {
            Type.NUMBER: ["7", True, [], {}, "NaN", 10**400],
            Type.BOOL: [0, 1, "true", [], {}],
            Type.TEXT: [5, False, [], {}, "a\x00b"],
            Type.TIME: [5, True, [], {}, "yesterday", "2013-02-30", ""],
        }
        return self.rng.choice(wrong[kind])

    def _spoilt(self) -> tuple[Row, str]:
        """A row with a mistake, and its field."""
        rng, row = self.rng, self._row()
        name = rng.choice(list(self.types))
        how = rng.random()
        if how < 0.6:
            row[name] = self._wrong_for(self.types[name])
        elif how < 0.8:
            del row[name]
        else:
            name = rng.choice(
                ["", "Distance", "x" * 300, "a.b", "rows[0]", "__proto__", "\u202e", "né", name + " "]
            )
            row[name] = self._odd()
        return row, name

    def _spoilt_row(self) -> Fuzzed:
        rng = self.rng
        if rng.random() < 0.3:
            row = self._row()
            for name in rng.sample(list(row), rng.randint(1, len(row))):
                row[name] = self._odd()
            return Fuzzed("odd values", post("/predict", dumps(row)))
        row, name = self._spoilt()
        return Fuzzed("spoilt row", post("/predict", dumps(row)), name)

    def _spoilt_rows(self) -> Fuzzed:
        rng = self.rng
        rows: list[Any] = [self._row() for _ in range(rng.randint(2, 30))]
        spot, name = rng.randrange(len(rows)), ""
        if rng.random() < 0.8:
            rows[spot], name = self._spoilt()
            name = f"rows[{spot}].{name}"
        else:
            rows[spot] = self._odd()
        body = rows if rng.random() < 0.5 else {"rows": rows}
        return Fuzzed("spoilt rows", post("/predict", dumps(body)), name)

    def _odd_json(self) -> Fuzzed:
        rng = self.rng
        text = dumps(self._row())
        depth = rng.choice([10, 500, 5000, 100_000])
        cut = rng.randrange(len(text))
        choices: list[bytes] = [
            *(b"", b" ", b"null", b"5", b'"a"', b"[]", b"{}", b"[[]]", b"[null]", b"[5, {}]", b"tru", b"-"),
            *(
                b"[" * depth,
                b'{"a":' * depth,
                b"[" * depth + b"]" * depth,
                b'{"rows":' * depth + b"}" * depth,
            ),
            *(
                b"\xef\xbb\xbf" + text,
                text.decode().encode("utf-16"),
                text[:cut],
                text + text,
                text + b"\x00",
            ),
            *(text[:cut] + bytes([rng.randrange(128, 256)]) + text[cut:], b'{"a": "\\ud800"}', b'"\\u12"'),
            *(
                b'{"distance": NaN}',
                b'{"distance": -Infinity}',
                b"{'a': 1}",
                b"[1,]",
                b"/* a */ 5",
                b"\xff\xfe",
            ),
            *(
                b'{"rows": 5}',
                b'{"rows": {}}',
                b'{"rows": null}',
                b'{"rows": [], "a": 1}',
                b"1e400",
                b"-1e400",
            ),
            *(b'{"explain": -1}', b'{"explain": 1e9}', b'{"explain": "5"}', b'{"explain": [], "rows": []}'),
        ]
        body = rng.choice(choices)
        path = rng.choice(
            [
                *("/predict", "/predict", "/predict", "/invocations", f"/v2/models/{self.model}/infer"),
                *("/events", "/labels", "/reviews/take", "/reviews/decide", "/reviews/comment"),
            ]
        )
        return Fuzzed("odd json", post(path, body))

    # --- protocols

    def _tensors(self) -> Fuzzed:
        rng = self.rng
        rows = [self._row() for _ in range(rng.randint(0, 5))]
        inputs = [tensor(n, kind, [r[n] for r in rows]) for n, kind in self.types.items()]
        request: Any = {"inputs": inputs}
        for _ in range(rng.randint(1, 3)):
            target = rng.choice(inputs)
            key = rng.choice(["name", "datatype", "shape", "data", "parameters"])
            how = rng.random()
            if how < 0.3:
                target.pop(key, None)
            elif how < 0.6:
                target[key] = self._odd()
            elif how < 0.8 and target.get("data"):
                target["data"] = self._nested(target["data"])
            else:
                request[rng.choice(["id", "outputs", "parameters", "inputs", "other"])] = rng.choice(
                    [self._odd(), [{"name": "prediction"}], [{"name": self._odd()}], {"explain": self._odd()}]
                )
                inputs = [t for t in request["inputs"] if isinstance(t, dict)] if _is_list(request) else []
                if not inputs:
                    break
        return Fuzzed("tensors", post(f"/v2/models/{self.model}/infer", dumps(request)))

    def _nested(self, data: Any) -> Any:
        return self.rng.choice(
            [[data], [[d] for d in data] if isinstance(data, list) else data, data, [data, data]]
        )

    def _binary(self) -> Fuzzed:
        rng = self.rng
        inputs, tail = [], b""
        for name, kind in self.types.items():
            odd = rng.random() < 0.1
            datatype, blob = {
                Type.NUMBER: ("FP64", struct.pack("<d", float(rng.choice(["inf", "-inf"])) if odd else 1.0)),
                Type.BOOL: ("BOOL", bytes([2 if odd else rng.choice([0, 1])])),
                Type.TEXT: (
                    "BYTES",
                    struct.pack("<I", 2) + (rng.choice([b"\xff\xff", b"a\x00"]) if odd else b"AA"),
                ),
                Type.TIME: ("BYTES", struct.pack("<I", 10) + (b"2013-02-30" if odd else b"2013-06-01")),
            }[kind]
            if rng.random() < 0.04:
                datatype = rng.choice(["FP16", "FP32", "INT8", "UINT64", "BF16", "BYTES", "BOOL"])
            if rng.random() < 0.04:
                blob = rng.randbytes(rng.randint(0, 12))
            size: Any = len(blob) if rng.random() > 0.02 else self._odd()
            inputs.append(
                {"name": name, "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}
            )
            tail += blob
        head = dumps({"inputs": inputs, "parameters": {"binary_data_output": rng.random() < 0.5}})
        length = str(rng.choice([*[len(head)] * 12, 0, -1, 2**70, len(head) + 3, "x", ""]))
        headers = {"Inference-Header-Content-Length": length}
        return Fuzzed("binary", post(f"/v2/models/{self.model}/infer", head + tail, headers=headers))

    def _mlflow(self) -> Fuzzed:
        rng = self.rng
        rows = [self._row() for _ in range(rng.randint(0, 5))]
        names = list(self.types)
        split: Any = {"columns": list(names), "data": [[r[n] for n in names] for r in rows]}
        columns: Any = {n: [r[n] for r in rows] for n in names}
        how, spoilt = rng.random(), self._odd()
        if how < 0.2:
            split[rng.choice(["columns", "data", "index", "other"])] = spoilt
        elif how < 0.4 and split["data"]:
            split["data"][-1] = rng.choice([spoilt, split["data"][-1][:-1], [*split["data"][-1], 5]])
        elif how < 0.6:
            columns[rng.choice(names)] = spoilt
        body: Any = rng.choice(
            [
                {"dataframe_split": split},
                {"dataframe_records": rows},
                {"dataframe_records": spoilt},
                {"instances": split["data"]},
                {"instances": spoilt},
                {"inputs": columns},
                {"inputs": spoilt},
                {"inputs": rows, "params": spoilt},
                {"inputs": rows, "params": {rng.choice(["route", "release", "explain", "x"]): spoilt}},
                {"inputs": rows, "instances": rows},
                {"predict": rows},
                rows,
            ]
        )
        media = rng.choice(
            [JSON] * 6 + ["application/json; charset=utf-8", "text/plain", "a", "", "\xff", ";;", "text/csv"]
        )
        return Fuzzed("mlflow", post("/invocations", dumps(body), media))

    def _csv(self) -> Fuzzed:
        rng = self.rng
        lines = [",".join(self.types)]
        for _ in range(rng.randint(0, 4)):
            row = self._row()
            lines.append(",".join("" if row[n] is None else json.dumps(row[n]) for n in self.types))
        text = rng.choice(["\n", "\r\n", "\r"]).join(lines).encode()
        spot = rng.randrange(len(text))
        change = rng.choice([b'"', b",", b"\n", b"\x00", b"\xff", b"\r", b'""', b",,,", b"'", b"\x1a", b""])
        text = text[:spot] + change + text[spot + rng.randint(0, 2) :]
        return Fuzzed("csv", post("/invocations", text, "text/csv"))

    # --- HTTP

    def _elsewhere(self) -> Fuzzed:
        rng = self.rng
        known = [
            "predict",
            "schema",
            "health",
            "v2",
            "models",
            self.model,
            "versions",
            "r7",
            "infer",
            "ready",
            "docs",
        ]
        odd = [
            "..",
            ".",
            "",
            "%2e%2e",
            "%00",
            "%",
            "%zz",
            "%ff",
            "{name}",
            "a" * 5000,
            "é",
            "?",
            "#",
            ";",
            "\\",
            "*",
        ]
        path = "/" + "/".join(
            rng.choice(known if rng.random() < 0.6 else odd) for _ in range(rng.randint(1, 6))
        )
        method = rng.choice(
            ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "CONNECT"]
        )
        body = dumps(self._row()) if rng.random() < 0.3 else b""
        wire = request(method, path.replace(" ", "%20"), body)
        return Fuzzed("elsewhere", wire, alone=True, partial=method == "CONNECT")

    def _query(self) -> Fuzzed:
        rng = self.rng
        name = rng.choice(["explain", "route", "release", "Explain", "", "a", "explain[]"])
        value = rng.choice(
            [
                "",
                "5",
                "-1",
                "true",
                "r7",
                "default",
                "%00",
                "%ff",
                "1e3",
                "9" * 50,
                "²",
                "%C2%B2",
                "a" * 3000,
                "&&&",
                "=",
                ";",
            ]
        )
        path = rng.choice(["/predict", "/schema", "/health/ready", f"/v2/models/{self.model}", "/metrics"])
        return Fuzzed(
            "query",
            request(rng.choice(["POST", "GET"]), f"{path}?{name}={value}", dumps(self._row())),
            alone=True,
        )

    def _head(self) -> Fuzzed:
        """Odd headers of a sound request."""
        rng = self.rng
        body = dumps(self._row())
        sound = f"Content-Length: {len(body)}"
        lines = rng.choice(
            [
                ["Content-Length: x"],
                ["Content-Length: -5"],
                ["Content-Length: " + "9" * 30],
                ["Content-Length: 40000000"],
                [sound, sound],
                [sound, "Content-Length: 1"],
                [f"Content-Length: +{len(body)}"],
                [f"Content-Length: {len(body) - 5}"],
                [sound, "Transfer-Encoding: chunked"],
                ["Transfer-Encoding: chunked"],
                ["Transfer-Encoding: gzip"],
                [sound, "Content-Encoding: gzip"],
                [sound, "Content-Type: " + "a" * 5000],
                [sound, "Content-Type"],
                [sound, ": nothing"],
                [sound, "X: \x00"],
                [sound, "X: a\r\n b"],
                [sound, "Expect: 100-continue"],
                [sound, "Expect: something"],
                [sound, "Upgrade: websocket", "Connection: Upgrade"],
                [sound, "Connection: close, keep-alive, x"],
                [sound, *(f"X-{i}: {i}" for i in range(rng.choice([50, 99, 101, 1000])))],
                [sound, "X: " + "a" * rng.choice([1000, 60_000, 100_000])],
                [sound, "Authorization: Bearer " + "a" * 1000],
                [sound, "Authorization: \xff"],
                [sound, "Inference-Header-Content-Length: 5"],
            ]
        )
        target = rng.choice(["/predict", "/invocations", f"/v2/models/{self.model}/infer"])
        wire = b"\r\n".join(
            [f"POST {target} HTTP/1.1".encode(), b"Host: a", *(one.encode("latin-1") for one in lines)]
        )
        return Fuzzed("head", wire + b"\r\n\r\n" + body, alone=True, partial=True)

    def _mutated(self) -> Fuzzed:
        """Bytes of a sound body, changed; its length is right."""
        rng = self.rng
        row = self._row()
        path, body = rng.choice(
            [
                ("/predict", dumps(row)),
                ("/predict", dumps([row, row])),
                ("/invocations", dumps({"inputs": [row]})),
                (
                    f"/v2/models/{self.model}/infer",
                    dumps({"inputs": [tensor(n, kind, [row[n]]) for n, kind in self.types.items()]}),
                ),
            ]
        )
        for _ in range(rng.randint(1, 4)):
            spot = rng.randrange(len(body) + 1)
            change = rng.choice(
                [rng.randbytes(1), b"", b'"', b"{", b"}", b"[", b",", b"0", b"\\u0000", b"e999", b"NaN"]
            )
            body = body[:spot] + change + body[spot + rng.randint(0, 3) :]
        return Fuzzed("mutated", post(path, body))

    def _broken_http(self) -> Fuzzed:
        rng = self.rng
        sound = post("/predict", dumps(self._row()))
        spot = rng.randrange(len(sound))
        first = sound[: sound.index(b"\r\n")]
        wire = rng.choice(
            [
                sound[:spot],
                sound[:spot] + rng.randbytes(rng.randint(1, 4)) + sound[spot:],
                rng.randbytes(rng.randint(1, 200)),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(80),
                b"GET /health\r\n\r\n",
                sound.replace(
                    b"HTTP/1.1", rng.choice([b"HTTP/9.9", b"HTTP/1.0", b"http/1.1", b"HTTP/", b""]), 1
                ),
                sound.replace(b"\r\n", b"\n"),
                sound.replace(
                    first, first.replace(b"POST", rng.choice([b"post", b"P ST", b"", b"POSTPOST"]))
                ),
                b"\r\n" * rng.randint(1, 50) + sound,
                b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n",
                chunked(sound, rng),
            ]
        )
        return Fuzzed("broken http", wire, alone=True, partial=True)


def _is_list(value: dict[str, Any]) -> bool:
    return isinstance(value.get("inputs"), list)


def tensor(name: str, kind: Type, values: list[Any]) -> dict[str, Any]:
    """A column as a tensor of JSON."""
    datatype = {Type.NUMBER: "FP64", Type.BOOL: "BOOL"}.get(kind, "BYTES")
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


def dumps(value: Any) -> bytes:
    """JSON, as Python writes it."""
    return json.dumps(value).encode()


def request(method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """A request of HTTP/1.1."""
    told = {"Host": "a", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{n}: {v}\r\n" for n, v in told.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body


def post(path: str, body: bytes, media: str = JSON, headers: dict[str, str] | None = None) -> bytes:
    """A request with a body."""
    return request("POST", path, body, {"Content-Type": media, **(headers or {})})


def chunked(sound: bytes, rng: random.Random) -> bytes:
    """A request whose body comes in chunks, one of which may lie about its length."""
    head, _, body = sound.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    half = len(body) // 2
    sizes = [b"%x" % half, b"%x" % (len(body) - half)]
    if rng.random() < 0.6:
        sizes[rng.randrange(2)] = rng.choice(
            [b"", b"zz", b"ffffffffffffffffff", b"-1", b"0", b"%x" % (half + 7)]
        )
    parts = b"".join(b"%b\r\n%b\r\n" % pair for pair in zip(sizes, (body[:half], body[half:]), strict=True))
    return (
        head
        + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        + parts
        + rng.choice([b"0\r\n\r\n", b"", b"0\r\nX: a\r\n\r\n"])
    )


class Caller:
    """Sends requests one after the other, over one connection while it holds."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._left = b""

    def send(self, fuzzed: Fuzzed) -> tuple[int, dict[bytes, bytes], bytes] | None:
        """Status, headers and body of the answer; None: the connection ended without one.

        Raises:
            TimeoutError: nothing came.
        """
        if fuzzed.alone:
            self.close()
        kept = self._socket is not None
        try:
            answer = self._ask(fuzzed)
        except (ConnectionError, BrokenPipeError):
            answer = None
        if answer is None and kept:
            # The connection that was kept had ended: the one before asked for that.
            self.close()
            return self.send(fuzzed)
        if fuzzed.alone or answer is None or answer[1].get(b"connection") == b"close":
            self.close()
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._left = None, b""

    def _ask(self, fuzzed: Fuzzed) -> tuple[int, dict[bytes, bytes], bytes] | None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(fuzzed.wire)
            if fuzzed.alone:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it answered and ended before all was sent
        head = self._until(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head = self._until(b"\r\n\r\n")
        if not head:
            return None
        lines = head.split(b"\r\n")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(b":") for line in lines[1:] if line)}
        size = 0 if fuzzed.wire.startswith(b"HEAD ") else int(headers.get(b"content-length", 0))
        while len(self._left) < size and (more := self._socket.recv(65_536)):
            self._left += more
        body, self._left = self._left[:size], self._left[size:]
        return int(lines[0].split()[1]), headers, body

    def _until(self, mark: bytes) -> bytes:
        assert self._socket is not None
        while mark not in self._left:
            more = self._socket.recv(65_536)
            if not more:
                return b""
            self._left += more
        head, _, self._left = self._left.partition(mark)
        return head + mark


def fuzz(port: int, fuzzer: Fuzzer, times: int) -> Found:
    """Send so many, and look at every answer."""
    found, caller = Found(), Caller(port)
    for _ in range(times):
        fuzzed = fuzzer.next()
        try:
            answer = caller.send(fuzzed)
        except TimeoutError:
            found.faults.append(f"hang: {fuzzed.kind}: {fuzzed.wire[:2000]!r}")
            caller.close()
            continue
        found.counts[fuzzed.kind, answer[0] if answer else 0] += 1
        fault = _fault(fuzzed, answer)
        if fault:
            found.faults.append(f"{fault}: {fuzzed.kind}: {fuzzed.wire[:2000]!r} -> {answer!r}"[:4000])
    caller.close()
    return found


def _fault(fuzzed: Fuzzed, answer: tuple[int, dict[bytes, bytes], bytes] | None) -> str:
    """What should not have come; empty: all is well."""
    if answer is None:
        return "" if fuzzed.partial else "no answer"
    status, headers, body = answer
    if status >= 500 or status < 200:
        return f"status {status}"
    if fuzzed.kind == "valid" and status != 200:
        return "a sound row was refused"
    if status < 400:
        return "a mistake was taken" if fuzzed.field else ""
    if fuzzed.wire.startswith(b"HEAD "):
        return ""
    if headers.get(b"content-type") != b"application/problem+json":
        return "no problem detail"
    told = json.loads(body)
    if told["status"] != status or not told["errors"] or not all(e["what"] for e in told["errors"]):
        return "an odd problem detail"
    wheres = [e["where"] for e in told["errors"]]
    if fuzzed.field and fuzzed.field not in wheres:
        return f"{fuzzed.field!r} is not named in {wheres[:5]}"
    return ""
