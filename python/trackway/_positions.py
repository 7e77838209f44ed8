"""Positions: how far the data of a cluster goes, and what they mean for reads.

openapi/vectors/positions.json has the rules as data.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Tuple

from ._answer import MAX_DELAY, MAX_MOVES, Answer, Decision, backoff, parse, reason_of, target

HEADER = "Trackway-Position"
_NUMBER = "(0|[1-9][0-9]{0,19})"
_POSITION = re.compile(rf"{_NUMBER}\.{_NUMBER}")


def is_position(text: str) -> bool:
    """Reports whether a text is the number of a log, a dot, and the index of an
    entry in that log.
    """
    return _POSITION.fullmatch(text) is not None


def _key(position: str) -> Tuple[str, int]:
    log, _, index = position.partition(".")
    return log, int(index or 0)


class Place:
    """The position that a client holds: a server that has reached it shows
    everything that the client knows of. Safe for concurrent use.
    """

    def __init__(self, held: str = "") -> None:
        self._lock = threading.Lock()
        self._held = held

    @property
    def held(self) -> str:
        """The position; empty if there is none."""
        with self._lock:
            return self._held

    def after(self, decision: Decision, answer: str, sent: str, stored: bool = False) -> None:
        """Notes what a decision about an answer with a position means."""
        if decision.action == "without":
            self._forget(sent, answer)
        else:
            self.learn(answer, sent, stored)

    def learn(self, answer: str, sent: str = "", stored: bool = False) -> None:
        """Notes the position of an answer.

        sent is what the client held when it sent the request. stored says that
        the server has stored something of it: that comes after all that was
        known before. If its position does not, the cluster has lost that part
        of its log.
        """
        if not is_position(answer):
            return
        with self._lock:
            (log, index), (held_log, held_index) = _key(answer), _key(self._held)
            later = log != held_log or index > held_index
            if later or (stored and sent and self._held == sent):
                self._held = answer

    def _forget(self, sent: str, answer: str) -> None:
        """Drops a position that the cluster does not know, and notes that of
        the answer that says so.
        """
        with self._lock:
            if self._held == sent:
                self._held = answer if is_position(answer) else ""


def decide_question(answer: Answer, sent: str, attempt: int, now: float, cap: float = MAX_DELAY) -> Decision:
    """Decides what an answer to a question means. sent is the position that was
    sent. A question that is refused is not asked again.

    The actions are those of a batch, and ``without``: ask again without a
    position.
    """

    def retry(reason: str, failover: bool = True) -> Decision:
        low, high = backoff(answer, attempt, now, cap)
        return Decision("retry", low, high, failover=failover, reason=reason)

    if answer.error is not None:
        return retry(answer.error)
    status = answer.status
    if status == 200:
        return Decision("done")
    if status in (408, 429):
        return retry(why(answer), failover=False)
    if 300 <= status < 400:
        to = target(answer)
        if to and answer.moves < MAX_MOVES:
            return Decision("move", url=to)
        return retry("a redirect without a usable target")
    if status == 400 and sent and HEADER.encode() in answer.body:
        return Decision("without")
    if 400 <= status < 500:
        return Decision("reject", reason=why(answer))
    return retry(why(answer))


def why(answer: Answer) -> str:
    """Returns the reason of a refusal. Those of the data API name fields."""
    body: Any = parse(answer.body)
    errors = body.get("errors") if isinstance(body, dict) else None
    if not isinstance(errors, dict):
        return reason_of(answer)
    lists = [texts for texts in errors.values() if isinstance(texts, list)]
    texts = sorted(text for texts in lists for text in texts if isinstance(text, str))
    return " ".join(texts) or reason_of(answer)
