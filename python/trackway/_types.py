"""The types of the interface."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping, Union

Ids = Mapping[str, Any]
"""The identifiers of a customer: name to value, a text or a number.

Identifiers of devices may also be a list. Empty values are fine next to a good
one: the server leaves out what names nobody.
"""

Properties = Mapping[str, Any]
"""Facts about a customer or an event: name to any JSON value.

Dates are sent as ISO 8601 texts, ``Decimal`` as a number, ``UUID`` as a text.
"""

Command = Mapping[str, Any]
"""A command as it is sent: ``name`` and ``data``."""

Timestamp = Union[datetime, float, int]
"""A time: a datetime (without a zone it is local time), or Unix seconds."""


@dataclass(frozen=True)
class Rejection:
    """A command that will never be delivered."""

    command: Command
    code: str
    """``refused``: the server refuses it; ``invalid``: it cannot be sent at
    all; ``full``: the queue had no room; ``closed``: the client was closed."""
    reason: str
    """Whole sentences, such as the server's. They may hold personal data."""


@dataclass(frozen=True)
class Report:
    """The results of a client's commands so far."""

    delivered: int
    """Commands that are on the server's disk."""
    rejected: int
    """Commands that will never be delivered: ``on_reject`` was called for each.
    """
    pending: int
    """Commands in the queue, including those that are on their way."""
    kept: bool
    """Whether the pending commands outlive this process."""
    requests: int = 0
    """Batches sent, repetitions included."""
    limited: int = 0
    """Of these, answered 429."""
    failed: int = 0
    """Of these, without an answer, or with an answer other than 429 that asks
    to try again.
    """
    denied: int = 0
    """Of the failed ones, not let in: the key or the project is unknown."""
    last_error: str = ""
    """Why the latest request failed; empty once one has succeeded."""


class AnswerError(Exception):
    """The server gave an unexpected answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"the server answers {self.status}: {self.reason}"
