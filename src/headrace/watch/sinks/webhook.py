"""Alerts as CloudEvents 1.0 (structured JSON), signed as Standard Webhooks 1.0 asks: HMAC-SHA256 over id,
time of sending and body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass

from headrace.core.clock import Clock
from headrace.core.codec import to_json, to_plain
from headrace.core.jobs import Job
from headrace.core.watching import Message
from headrace.watch.sinks.post import post
from headrace.watch.sinks.text import lines


@dataclass(frozen=True)
class Webhook:
    """A receiver of CloudEvents. name: what its URL is called in errors. secret: empty where it is not
    signed; a key that begins with `whsec_` is base64 behind it."""

    url: str
    name: str
    secret: str
    clock: Clock

    def send(self, message: Message) -> None:
        """See `Sink.send`."""
        body = to_json(cloud_event(message))
        headers = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
        if self.secret:
            moment = int(self.clock().timestamp())
            headers |= {
                "webhook-id": message.id,
                "webhook-timestamp": str(moment),
                "webhook-signature": signature(self.secret, message.id, moment, body),
            }
        post(self.url, body, headers, name=self.name)


def cloud_event(message: Message) -> dict[str, object]:
    """The message as a CloudEvent; `data` is the alert or job as the ledger has it, and its text."""
    about = message.about
    kind, subject = ("job", about.job) if isinstance(about, Job) else ("alert", about.alert)
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": f"/headrace/{message.project}",
        "type": f"headrace.{kind}.{message.told.value.replace(' ', '_')}",
        "subject": subject,
        "time": message.time,
        "datacontenttype": "application/json",
        "data": {**to_plain(about), "text": "\n".join(lines(message))},
    }


def signature(secret: str, id_: str, moment: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.moment.body`."""
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.new(key, b".".join((id_.encode(), str(moment).encode(), body)), hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()
