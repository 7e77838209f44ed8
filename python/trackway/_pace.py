"""Spreads a client's calls over the window of a limit, using the headers of the
answers.

openapi/vectors/pacing.json has the rules as data.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from typing import Dict, List, Optional, Tuple

from ._answer import MAX_RETRY_AFTER, draw, server_time

FREE = 0.5  # share of the limit that is used at full speed
LATE = 0.1  # of a delay, on top of it: not all clients come at once
SAME_WINDOW = 1.5  # seconds within which two reports of a window's end are one: they are whole seconds
_LEARNING = 0.25  # of a new sample of the cost


@dataclass
class Budget:
    """What is left under one limit, according to an answer. Times are in
    seconds.
    """

    policy: str
    quota: Optional[float]
    remaining: float
    reset: float
    """Until the window ends."""
    window: Optional[float]

    def delay(self, cost: float) -> Tuple[float, float]:
        """Returns the range of the wait for the next request. For each call of
        ours, other clients make cost - 1 calls.
        """
        if self.reset == 0 or (self.quota is not None and self.remaining > self.quota * FREE):
            return 0.0, 0.0
        usable = self.remaining - (cost - 1)
        if usable < cost:
            return self.reset, self.reset + LATE * (self.reset if self.window is None else self.window)
        wait = self.reset * cost / usable
        return wait, wait * (1 + LATE)


class Pacer:
    """Paces the calls of one server. Times are readings of one clock, in
    seconds. Not safe for concurrent use.
    """

    def __init__(self) -> None:
        self.until = float("-inf")
        """Nothing is sent before."""
        self.forget()

    def forget(self) -> None:
        """Forgets what was learned about other clients that share the limit."""
        self.cost = 1.0
        """How many calls all clients make for each of ours."""
        self.calls = 0
        """Ours since the last budget."""
        self._sampled = False
        self._last: Optional[Budget] = None
        self._ends = 0.0

    def hold(self, until: float) -> None:
        """Stops all requests until a time."""
        self.until = max(self.until, until)

    def answered(self, headers: Message, now: float, wall: float) -> None:
        """Learns from the headers of an answer that came now. wall is the time
        of day, for an answer without a Date.
        """
        budget = governing(read_budgets(headers, wall), self.cost)
        if budget is not None:
            self.learn(budget, now)
            self.hold(now + draw(*budget.delay(self.cost)))

    def learn(self, budget: Budget, now: float) -> None:
        """Estimates how many calls other clients make, from how much more than
        our own calls the remainder has fallen.
        """
        last, ends = self._last, now + budget.reset
        if (
            last is not None
            and self.calls > 0
            and last.policy == budget.policy
            and budget.remaining < last.remaining
            and abs(ends - self._ends) <= SAME_WINDOW
        ):
            sample = max(1.0, (last.remaining - budget.remaining) / self.calls)
            self.cost = self.cost + (sample - self.cost) * _LEARNING if self._sampled else sample
            self._sampled = True
        self._last, self._ends, self.calls = budget, ends, 0


def governing(budgets: List[Budget], cost: float) -> Optional[Budget]:
    """Returns the budget that requires the longest delay."""
    return max(budgets, key=lambda budget: budget.delay(cost)[0]) if budgets else None


def read_budgets(headers: Message, now: float) -> List[Budget]:
    """Reads the limits in the headers of an answer. The result is empty if
    there are no limits in them.
    """
    budgets = _read_rate_limit(headers)
    if budgets:
        return budgets
    remaining = natural(str(headers.get("X-RateLimit-Remaining", "")))
    at = natural(str(headers.get("X-RateLimit-Reset", "")))
    if remaining is None or at is None:
        return []
    quota = natural(str(headers.get("X-RateLimit-Limit", "")))
    return [Budget("", quota, remaining, _believable(at - server_time(headers, now)), None)]


def _believable(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _read_rate_limit(headers: Message) -> List[Budget]:
    """Reads RateLimit and RateLimit-Policy
    (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4).
    """
    policies = _items(headers, "RateLimit-Policy") or []
    budgets = []
    for name, params in _items(headers, "RateLimit") or []:
        if "r" not in params or "t" not in params:
            return []
        budget = Budget(name, None, params["r"], _believable(params["t"]), None)
        for policy, about in policies:
            if policy == name:
                budget.quota = about.get("q", budget.quota)
                budget.window = _believable(about["w"]) if "w" in about else budget.window
        budgets.append(budget)
    return budgets


def _items(headers: Message, name: str) -> Optional[List[Tuple[str, Dict[str, float]]]]:
    """Parses a list of strings with parameters (RFC 9651, sections 3.1 and
    3.1.2), and keeps the numeric parameters.

    None means that it is not such a list.
    """
    items: List[Tuple[str, Dict[str, float]]] = []
    rest = ", ".join(str(line) for line in headers.get_all(name, [])).strip()
    while rest:
        end = _string_end(rest)
        if end < 0:
            return None
        inner, rest = rest[1 : end - 1], rest[end:]
        end = _outside(rest, ",")
        items.append((inner.replace("\\\\", "\\").replace('\\"', '"'), _params(rest[:end])))
        rest = rest[end + 1 :].strip()
    return items


def _params(text: str) -> Dict[str, float]:
    params: Dict[str, float] = {}
    text = text.strip()
    while text.startswith(";"):
        end = _outside(text[1:], ";") + 1
        key, _, value = text[1:end].partition("=")
        number = natural(value.strip())
        if number is not None:
            params[key.strip()] = number
        text = text[end:].strip()
    return params


def _string_end(text: str) -> int:
    """Returns where the quoted string at the beginning of a text ends, or -1 if
    the text does not begin with one.
    """
    if not text.startswith('"'):
        return -1
    end = _outside(text[1:], '"', quoted=True)
    return end + 2 if end + 1 < len(text) else -1


def _outside(text: str, char: str, quoted: bool = False) -> int:
    """Returns the index of a character outside of quotes, or the length of the
    text.
    """
    at = 0
    while at < len(text):
        c = text[at]
        if c == char and (not quoted or char == '"'):
            return at
        if quoted and c == "\\":
            at += 1
        elif c == '"':
            quoted = not quoted
        at += 1
    return len(text)


def natural(text: str) -> Optional[float]:
    """Reads a number of up to 15 digits."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
