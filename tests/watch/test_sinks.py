"""Where alerts go, each against a real receiver on a socket."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from headrace.core.errors import Undelivered, UserError
from headrace.core.ports import Sink
from headrace.core.spec.watching import Alerts
from headrace.testing.sink_exam import SinkExam, message
from headrace.watch.receivers import receivers
from headrace.watch.sinks.mail import Mail, Server, server_of
from headrace.watch.sinks.post import checked, post
from headrace.watch.sinks.slack import Slack
from headrace.watch.sinks.webhook import Webhook, signature


def now() -> datetime:
    return datetime(2025, 11, 21, 17, tzinfo=UTC)


class Hooks(ThreadingHTTPServer):
    """Takes POSTs until it is told to refuse."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/in?key=1"


class _Hook(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            headers = {k.lower(): v for k, v in self.headers.items()}
            self.server.taken.append((self.path, headers, body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, *told: Any) -> None:
        pass


class Post(socketserver.ThreadingTCPServer):
    """A mail server that takes what it is sent (RFC 5321, as far as a client needs it)."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[tuple[list[str], bytes]] = []
        self.refuses = False


class _Session(socketserver.StreamRequestHandler):
    server: Post

    def handle(self) -> None:
        self._say("220 here")
        to: list[str] = []
        for line in iter(self.rfile.readline, b""):
            word = line.split()[0].upper() if line.split() else b""
            if word == b"RCPT":
                to.append(line.decode().strip())
                self._say("550 nobody of that name" if self.server.refuses else "250 ok")
            elif word == b"DATA":
                self._say("354 go on")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.taken.append((to, b"".join(lines)))
                self._say("250 ok")
            elif word == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with Hooks() as server:
        yield from _running(server)


def _running(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()


class TestWebhook(SinkExam):
    @pytest.fixture
    def receiver(self, hooks: Hooks) -> Hooks:
        return hooks

    def make_sink(self, receiver: Hooks) -> Sink:
        return Webhook(receiver.url, "ALERTS_URL", "key", now)

    def received(self, receiver: Hooks) -> list[str]:
        return [json.dumps(json.loads(body), ensure_ascii=False) for _, _, body in receiver.taken]

    def refuse(self, receiver: Hooks) -> None:
        receiver.status = 500

    def test_it_is_a_cloud_event_that_is_signed(self, hooks: Hooks) -> None:
        self.make_sink(hooks).send(message())
        ((path, headers, body),) = hooks.taken
        event = json.loads(body)
        assert path == "/in?key=1"
        assert headers["content-type"].startswith("application/cloudevents+json")
        assert (event["specversion"], event["type"]) == ("1.0", "headrace.alert.opened")
        assert event["id"] == headers["webhook-id"] == "a1b2c3-opened"
        moment = int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signature("key", event["id"], moment, body)
        assert headers["webhook-signature"] != signature("other", event["id"], moment, body)
        assert event["data"]["readings"][0]["where"].endswith("Bcc: x@example.com")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    told = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [302, 404, 429, 500])
def test_a_redirect_is_not_followed_and_errors_are_told(hooks: Hooks, status: int) -> None:
    hooks.status = status
    with pytest.raises(Undelivered, match=f"ALERTS_URL answered {status}"):
        post(hooks.url, b"{}", {}, name="ALERTS_URL")


def test_nobody_there_is_told() -> None:
    with pytest.raises(Undelivered, match="ALERTS_URL can't be reached"):
        post("http://127.0.0.1:1/", b"{}", {}, name="ALERTS_URL")


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://x/", "http://", "http://[", "http://h:99999/", "example.com"),
        *("https://hooks..example.com/x", "https://example.com/caf\u00e9", "https://example.com/a b"),
    ],
)
def test_what_is_no_url_is_told_by_its_name(url: str) -> None:
    with pytest.raises(UserError, match="ALERTS_URL"):
        checked(url, name="ALERTS_URL")


@pytest.mark.parametrize(
    ("key", "told"), [("", "KEY is not set"), ("whsec_abcde", "KEY holds no key"), ("whsec_", "no key")]
)
def test_what_is_no_key_is_told_by_its_name_and_nothing_goes_out_unsigned(
    hooks: Hooks, key: str, told: str
) -> None:
    alerts = Alerts.model_validate({"to": ({"webhook": "URL", "secret": "KEY"},)})
    _, receiver = receivers(alerts, {"URL": hooks.url, "KEY": key}, now)
    with pytest.raises(UserError, match=told):
        receiver.make().send(message())
    assert hooks.taken == []
    _, receiver = receivers(alerts, {"URL": hooks.url, "KEY": "whsec_YWJj"}, now)
    receiver.make().send(message())
    ((_, headers, body),) = hooks.taken
    moment = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == signature("abc", headers["webhook-id"], moment, body)


class TestSlack(SinkExam):
    @pytest.fixture
    def receiver(self, hooks: Hooks) -> Hooks:
        return hooks

    def make_sink(self, receiver: Hooks) -> Sink:
        return Slack(receiver.url, "SLACK_URL")

    def received(self, receiver: Hooks) -> list[str]:
        return [json.dumps(json.loads(body), ensure_ascii=False) for _, _, body in receiver.taken]

    def refuse(self, receiver: Hooks) -> None:
        receiver.status = 404

    def test_names_in_the_data_become_no_links(self, hooks: Hooks) -> None:
        self.make_sink(hooks).send(message())
        assert "<b>" not in self.received(hooks)[0] and "&lt;b&gt;" in self.received(hooks)[0]


class TestMail(SinkExam):
    @pytest.fixture
    def receiver(self) -> Iterator[Post]:
        with Post() as server:
            yield from _running(server)

    def make_sink(self, receiver: Post) -> Sink:
        return Mail("ann@example.com", Server("127.0.0.1", receiver.server_address[1], secure=False), now)

    def received(self, receiver: Post) -> list[str]:
        return [f"{m['Subject']}\n{m.get_content()}" for m in map(_mail, receiver.taken)]

    def refuse(self, receiver: Post) -> None:
        receiver.refuses = True

    def test_a_name_in_the_data_begins_no_header(self, receiver: Post) -> None:
        self.make_sink(receiver).send(message(title="x\r\nBcc: eve@example.com"))
        mail = _mail(receiver.taken[0])
        assert mail["Bcc"] is None and mail["To"] == "ann@example.com"
        assert len(receiver.taken[0][0]) == 1


def _mail(taken: tuple[list[str], bytes]) -> Any:
    return email.message_from_bytes(taken[1], policy=email.policy.default)


@pytest.mark.parametrize("url", ["", "http://x", "smtp://", "smtp://h:port"])
def test_what_names_no_mail_server_is_told(url: str) -> None:
    with pytest.raises(UserError, match="HEADRACE_SMTP"):
        server_of(url)


def test_a_mail_server_is_read_from_its_url() -> None:
    told = server_of("smtps://ann%40x:p%2Fw@mail.example.com?from=alerts@example.com")
    assert told == Server("mail.example.com", 465, True, "ann@x", "p/w", "alerts@example.com")
    assert server_of("smtp://localhost") == Server("localhost", 587, False)
