"""What docs/alerts.md tells receivers of webhooks to do, against what is sent."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace.core.clock import system_clock
from headrace.testing.sink_exam import message
from headrace.watch.sinks.webhook import Webhook

PAGE = Path(__file__).resolve().parents[2] / "docs" / "alerts.md"
SECRETS = ("a key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[tuple[dict[str, str], bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *told: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def taken() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["taken"]


def sent(receiver: Receiver, secret: str, moment: datetime) -> tuple[dict[str, str], bytes]:
    Webhook(f"http://127.0.0.1:{receiver.server_port}/", "ALERTS_URL", secret, lambda: moment).send(message())
    return receiver.came[-1]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_sent_is_taken(receiver: Receiver, taken: Any, secret: str) -> None:
    headers, body = sent(receiver, secret, system_clock())
    event = taken(secret, headers, body, tolerance=3600)
    assert event["type"] == "headrace.alert.opened"
    assert event["subject"] == event["data"]["alert"] == "a1b2c3"
    both = {**headers, "webhook-signature": f"v1,b3RoZXI= {headers['webhook-signature']}"}
    assert taken(secret, both, body, tolerance=3600) == event


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_forged_or_old_is_not(receiver: Receiver, taken: Any, secret: str) -> None:
    headers, body = sent(receiver, secret, system_clock())
    for forged in (
        (SECRETS[0] + "!", headers, body),
        (secret, headers, body.replace(b"opened", b"closed")),
        (secret, {**headers, "webhook-timestamp": "1"}, body),
        (secret, {**headers, "webhook-id": "other"}, body),
    ):
        with pytest.raises(ValueError, match="another's"):
            taken(*forged)
    headers, body = sent(receiver, secret, datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(ValueError, match="too old"):
        taken(secret, headers, body)
