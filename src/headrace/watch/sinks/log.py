"""Alerts and jobs in the process's own log, one line each."""

from __future__ import annotations

import logging

from headrace.core.watching import Message, Told
from headrace.watch.sinks.text import shown

_LOG = logging.getLogger("headrace.watch")


class LogLine:
    """The receiver that is always there."""

    def send(self, message: Message) -> None:
        """See `Sink.send`."""
        level = logging.INFO if message.told is Told.RESOLVED else logging.WARNING
        _LOG.log(level, "%s (%s)", message.subject, shown(message.about))
