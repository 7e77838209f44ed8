"""Decides what the answer to a batch means.

openapi/vectors has the rules as data: backoff.json and results.json.
"""

from __future__ import annotations

import calendar
import email.utils
import json
import random
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, List, Optional, Tuple
from urllib.parse import urljoin, urlsplit

FIRST_DELAY = 0.5  # seconds: the ceiling of the first delay; it doubles with each failure
MAX_DELAY = 30.0
SPREAD = 0.1  # of a time that the server names, on top of it: not all clients come back at once
MAX_RETRY_AFTER = 3600.0  # seconds that are believed
MAX_MOVES = 5  # redirects in a row
_LAST_ATTEMPT = 31  # the doublings are beyond every cap

DELIVERED = "delivered"
REJECTED = "rejected"
AGAIN = "again"

NOT_OURS = "the answer is incomplete, or not from a tracking server"


@dataclass
class Answer:
    """The answer to a request."""

    url: str = ""
    """The URL that was asked."""
    moves: int = 0
    """Redirects that led there."""
    status: int = 0
    headers: Message = field(default_factory=Message)
    body: bytes = b""
    error: Optional[str] = None
    """Why there is no complete answer."""
    late: bool = False
    """There is none because the time limit of the request was over."""


@dataclass
class Decision:
    """What an answer means."""

    action: str
    """``done``: there is a result for each command; ``retry``: send the batch
    again; ``split``: send its halves; ``reject``: give it up and report it;
    ``move``: send it to the target of the redirect.
    """
    low: float = 0.0
    """Retry: the delay is drawn from low to high, in seconds."""
    high: float = 0.0
    failover: bool = False
    """Retry: the server is at fault."""
    denied: bool = False
    """Retry: the client was not let in, so nobody has looked at the commands.
    """
    reason: str = ""
    url: str = ""
    """Move: the target."""
    results: List[Tuple[str, str]] = field(default_factory=list)
    """Done: the outcome of each command, and why it was rejected."""

    @property
    def stored(self) -> bool:
        """Whether a command of the batch was stored."""
        return any(outcome == DELIVERED for outcome, _ in self.results)

    @property
    def unclear(self) -> bool:
        """Whether commands of the batch have to be sent again."""
        return any(outcome == AGAIN for outcome, _ in self.results)


def decide(answer: Answer, attempt: int, commands: int, now: float, cap: float = MAX_DELAY) -> Decision:
    """Decides what to do with a batch after an answer.

    attempt is the number of consecutive failures of the server, including this
    answer if it is a failure. now is the client's clock, for an answer without
    a Date.
    """

    def retry(reason: str, failover: bool = True, denied: bool = False) -> Decision:
        low, high = backoff(answer, _LAST_ATTEMPT if denied else attempt, now, cap)
        return Decision("retry", low, high, failover=failover, denied=denied, reason=reason)

    if answer.error is not None:
        return retry(answer.error)
    status, body = answer.status, parse(answer.body)
    reason = reason_of(answer)
    if status == 200:
        results = read_results(body, commands)
        return retry(NOT_OURS) if results is None else Decision("done", results=results)
    if status in (408, 429):
        return retry(reason, failover=False)
    if 300 <= status < 400:
        to = target(answer)
        return (
            Decision("move", url=to)
            if to and answer.moves < MAX_MOVES
            else retry("a redirect without a usable target")
        )
    if 400 <= status < 500:
        # Every other 4xx says that the client was not let in: a key that was
        # changed, a missing project, a proxy without a server. So does a 400
        # with a text "error", which names the project.
        project = isinstance(body, dict) and isinstance(body.get("error"), str)
        if not (status == 413 or (status == 400 and _said(body) and not project)):
            return retry(reason, denied=True)
        return Decision("split") if commands > 1 else Decision("reject", reason=reason)
    return retry(reason)


def backoff(answer: Answer, attempt: int, now: float, cap: float) -> Tuple[float, float]:
    """Returns the range of the delay: full jitter below an exponential ceiling,
    but never less than the server requests.
    """
    low = retry_after(answer.headers, now)
    return low, max(low * (1 + SPREAD), ceiling(attempt, cap))


def ceiling(attempt: int, cap: float) -> float:
    """Returns the longest delay before an attempt, in seconds."""
    doublings = min(max(attempt, 1), _LAST_ATTEMPT) - 1
    return min(cap, FIRST_DELAY * (1 << doublings))


def draw(low: float, high: float) -> float:
    """Draws a delay evenly."""
    return low + (high - low) * random.random()


def retry_after(headers: Message, now: float) -> float:
    """Returns the delay that the server requests, in seconds (RFC 9110, section
    10.2.3), or 0 if it requests none.
    """
    text = str(headers.get("Retry-After", ""))
    if text.isascii() and text.isdigit():
        return MAX_RETRY_AFTER if len(text) > 9 else min(float(text), MAX_RETRY_AFTER)
    until = read_date(text)
    return 0.0 if until is None else min(max(until - server_time(headers, now), 0.0), MAX_RETRY_AFTER)


def server_time(headers: Message, now: float) -> float:
    """Returns when the server answered: by its own clock if the answer has a
    Date, because only differences count, and our clock may be wrong.
    """
    date = read_date(str(headers.get("Date", "")))
    return now if date is None else date


def read_date(text: str) -> Optional[float]:
    """Reads a date in any of the three formats of HTTP (RFC 9110, section
    5.6.7), as Unix seconds.
    """
    try:
        found = email.utils.parsedate_tz(text) if ":" in text else None
        return None if found is None else calendar.timegm(found[:6]) - float(found[9] or 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def target(answer: Answer) -> str:
    """Returns the target of a redirect, or an empty text."""
    location = answer.headers.get("Location")
    if answer.status not in (301, 302, 303, 307, 308) or not location:
        return ""
    try:
        to = urljoin(answer.url, str(location))
        found = urlsplit(to)
    except ValueError:
        return ""
    return to if server_url(f"{found.scheme}://{found.netloc}", answer.url) else ""


def server_url(text: str, reached_by: str = "") -> str:
    """Returns the address of a server without a slash at its end, or an empty
    text if it is not such an address.

    If the address that led to it is encrypted, this one must be, too.
    """
    try:
        found = urlsplit(text)
        found.port  # noqa: B018  # reading it checks it
    except ValueError:
        return ""
    if (
        found.scheme not in ("http", "https")
        or not found.hostname
        or "@" in found.netloc
        or found.query
        or found.fragment
    ):
        return ""
    if found.scheme == "http" and reached_by.startswith("https:"):
        return ""
    if any(c <= " " or c > "~" for c in text):
        return ""
    return text.rstrip("/")


def parse(body: bytes) -> Any:
    """Returns the content of a JSON body, or None if it is not JSON."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def reason_of(answer: Answer) -> str:
    """Returns the reason in a refusal, or its status."""
    return _said(parse(answer.body)) or f"HTTP {answer.status}"


def _said(body: Any) -> str:
    """Returns the reason in a refusal of any format, or an empty text."""
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors")
    described = errors.get("description") if isinstance(errors, dict) else None
    for text in (body.get("message"), body.get("error"), described):
        if isinstance(text, str) and text:
            return text
    return _joined(errors)


def _joined(errors: Any) -> str:
    return " ".join(e for e in errors if isinstance(e, str)) if isinstance(errors, list) else ""


def read_results(body: Any, commands: int) -> Optional[List[Tuple[str, str]]]:
    """Reads the results in a 200. Returns None if there is not one result for
    each command: the answer is then incomplete, or not from a tracking server.
    """
    results = body.get("results") if isinstance(body, dict) else None
    if not isinstance(results, list) or len(results) != commands:
        return None
    return [_read_result(result) for result in results]


def _read_result(result: Any) -> Tuple[str, str]:
    success = result.get("success") if isinstance(result, dict) else None
    if success is True:
        return DELIVERED, ""
    if success is False:
        return REJECTED, _joined(result.get("errors")) or "refused without a reason"
    return AGAIN, ""
