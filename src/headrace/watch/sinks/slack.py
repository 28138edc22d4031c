"""Alerts for an incoming webhook of Slack, Mattermost, or what else takes its form."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.codec import to_json
from headrace.core.watching import Message
from headrace.watch.sinks.post import post
from headrace.watch.sinks.text import lines

_MOST = 2_900
"""Characters of one block; Slack takes 3,000."""


@dataclass(frozen=True)
class Slack:
    """A receiver. name: what its URL, which is its password, is called in errors."""

    url: str
    name: str

    def send(self, message: Message) -> None:
        """See `Sink.send`."""
        text = "\n".join(escaped(line) for line in lines(message)[1:])
        block = {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MOST]}}
        heading = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{escaped(message.subject)}*"}}
        body = to_json({"text": escaped(message.subject), "blocks": [heading, block]})
        post(self.url, body, {"Content-Type": "application/json; charset=utf-8"}, name=self.name)


def escaped(text: str) -> str:
    """Text with Slack's control characters as themselves: no name in the data becomes a link or mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
