"""Alerts by e-mail, over a server that is named by `smtp://` or `smtps://`."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from headrace.core.clock import Clock
from headrace.core.errors import Undelivered, UserError
from headrace.core.watching import Message
from headrace.watch.sinks.post import SECONDS
from headrace.watch.sinks.text import lines

SMTP = "HEADRACE_SMTP"
"""The environment variable with the server: `smtp://user:password@host:587` (STARTTLS where the server has
it, and always before a password), or `smtps://…:465`; `?from=` gives the sender's address."""


@dataclass(frozen=True)
class Server:
    """A mail server."""

    host: str
    port: int
    secure: bool
    user: str = ""
    password: str = ""
    sender: str = ""


@dataclass(frozen=True)
class Mail:
    """An address, and the server that takes mail for it."""

    to: str
    server: Server
    clock: Clock

    def send(self, message: Message) -> None:
        """See `Sink.send`."""
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.server.sender or f"headrace@{self.server.host}"
        mail["To"] = self.to
        mail["Date"] = format_datetime(self.clock())
        mail["Message-ID"] = f"<{message.id}.{message.project}@headrace>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join(lines(message)) + "\n")
        try:
            self._hand_over(mail)
        except (OSError, smtplib.SMTPException) as error:
            told = str(error) or type(error).__name__
            raise Undelivered(f"the mail server {self.server.host} did not take it", why=told) from error

    def _hand_over(self, mail: EmailMessage) -> None:
        server, context = self.server, ssl.create_default_context()
        if server.secure:
            made: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=context)
        else:
            made = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
        with made as smtp:
            if not server.secure:
                smtp.ehlo()
                if server.password or smtp.has_extn("starttls"):
                    smtp.starttls(context=context)
            if server.user:
                smtp.login(server.user, server.password)
            smtp.send_message(mail)


def server_of(url: str) -> Server:
    """The server that a URL names.

    Raises:
        UserError: it is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise UserError(
            f"{SMTP} names no mail server" if url else f"{SMTP} is not set",
            why="e-mails are kept until it does",
            fix=f"set {SMTP} to one such as smtp://user:password@mail.example.com:587",
        )
    secure = parts.scheme == "smtps"
    sender = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair).get("from", "")
    return Server(
        parts.hostname,
        port or (465 if secure else 587),
        secure,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        unquote(sender),
    )
