"""Chooses the server to use.

openapi/vectors/servers.json has the rules as data.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, List, Optional, Sequence, Tuple

from ._answer import FIRST_DELAY, Answer, Decision, backoff, ceiling, decide, draw, server_url
from ._pace import Pacer
from ._positions import decide_question

REFRESH = 10.0
"""Minimum number of seconds between two requests for the list of servers,
however many servers fail: these requests count towards a limit, too.
"""

_LAST_RANK = 2
_RANKS = {"": 0, "up": 0, "service": 1}


@dataclass
class Server:
    """One tracking server, as this client knows it. Times are readings of one
    clock, in seconds.
    """

    url: str
    name: str = ""
    region: str = ""
    state: str = "up"
    until: float = float("-inf")
    """Left alone until then, after a failure."""
    failures: int = 0
    """In a row."""
    pace: Pacer = field(default_factory=Pacer)


def choose(
    servers: Sequence[Server], current: str, name: str, region: str, now: float
) -> Tuple[List[Server], float]:
    """Returns the servers to draw from, and how long to wait before asking one.

    It keeps the current server as long as that may be asked. A client that
    returned to its first server would run into that server's next failure.
    Besides, servers that share no data recognize only their own duplicates.
    """
    fits = [s for s in servers if not name or s.name == name]
    ready = [s for s in fits if s.until <= now]
    for server in ready:
        if server.url == current:
            return [server], 0.0
    if not ready:
        first = min(fits, key=lambda s: s.until, default=None)
        return ([], REFRESH) if first is None else ([first], first.until - now)
    ready = [s for s in ready if region and s.region == region] or ready
    best = min(_RANKS.get(s.state, _LAST_RANK) for s in ready)
    return [s for s in ready if _RANKS.get(s.state, _LAST_RANK) == best], 0.0


def read_servers(body: bytes, asked: str) -> List[Server]:
    """Reads the answer of /api/servers at an address. The result always has at
    least the server that was asked.
    """
    asked = server_url(asked)
    try:
        listed = json.loads(body.decode())["servers"]
        found = [_read_server(entry, asked) for entry in listed]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = []
    return [server for server in found if server is not None] or [Server(asked)]


def _read_server(entry: Any, asked: str) -> Optional[Server]:
    if not isinstance(entry, dict):
        return None
    url, name, region, state = (str(entry.get(key) or "") for key in ("url", "name", "region", "state"))
    url = server_url(url or asked, asked)
    return Server(url, name, region, state) if url else None


class Fleet:
    """The servers of one client, and the one in use. Safe for concurrent use."""

    def __init__(self, urls: Sequence[str], discover: bool, name: str, region: str, max_delay: float) -> None:
        self._configured = list(urls)
        self._discover = discover
        self._name, self._region = name, region
        self._cap = max_delay
        self._lock = threading.Lock()  # guards what follows; nothing is asked under it
        self._servers = [Server(url) for url in urls]
        self._current = ""
        self._asked = float("-inf")
        self._stale = discover  # the list is worth asking for

    @property
    def current(self) -> str:
        """The address of the server in use; empty before the first request."""
        with self._lock:
            return self._current

    def next(self, now: float) -> Tuple[Optional[Server], float]:
        """Returns the server to ask, or None and how long to wait before
        calling this again.
        """
        with self._lock:
            found, wait = choose(self._servers, self._current, self._name, self._region, now)
            if wait > 0:
                self._stale = self._stale or not found  # nobody has the name: the list may be out of date
                return None, wait
            server = random.choice(found)
            if server.url != self._current:
                if self._current:  # not all clients of a server that failed come to the next one at once
                    server.pace.hold(now + draw(0, min(FIRST_DELAY, self._cap)))
                self._use(server)
            wait = server.pace.until - now
            return (None, wait) if wait > 0 else (server, 0.0)

    def _use(self, server: Server) -> None:
        server.pace.forget()
        self._current = server.url

    def sent(self, server: Server) -> None:
        """Notes that a server is being asked."""
        with self._lock:
            server.pace.calls += 1

    def decide(self, server: Server, answer: Answer, commands: int) -> Decision:
        """Returns what a server's answer means for a batch, and what it means
        for the server.
        """
        now, wall = time.monotonic(), time.time()
        with self._lock:
            server.pace.answered(answer.headers, now, wall)
            decision = decide(answer, server.failures + 1, commands, wall, self._cap)
            self._conclude(server, decision, now)
            return decision

    def decide_question(self, server: Server, answer: Answer, sent: str) -> Decision:
        """Returns what a server's answer means for a question that was sent
        with a position, and what it means for the server.
        """
        now, wall = time.monotonic(), time.time()
        with self._lock:
            server.pace.answered(answer.headers, now, wall)
            decision = decide_question(answer, sent, server.failures + 1, wall, self._cap)
            self._conclude(server, decision, now)
            return decision

    def _conclude(self, server: Server, decision: Decision, now: float) -> None:
        if decision.action == "move":  # it may lead back here: no failure, but no success either
            return
        if decision.action != "retry":
            if decision.unclear:
                server.pace.hold(now + draw(0, ceiling(server.failures + 1, self._cap)))
                server.failures += 1
            else:
                server.failures = 0
            return
        server.failures += 1
        until = now + draw(decision.low, decision.high)
        if decision.failover:
            server.until, self._stale = until, True
        else:  # it is this client that has to wait
            server.pace.hold(until)

    def heard(self, server: Server, answer: Answer) -> None:
        """Notes an answer that is not about a batch."""
        now, wall = time.monotonic(), time.time()
        with self._lock:
            server.pace.answered(answer.headers, now, wall)
            if answer.status == 429:
                server.pace.hold(now + draw(*backoff(answer, 1, wall, self._cap)))

    def moved(self, to: str) -> None:
        """Uses the server that a redirect leads to."""
        with self._lock:
            server = next((s for s in self._servers if s.url == to), None)
            if server is None:
                server = Server(to)
                self._servers.append(server)
            if server.url != self._current:
                self._use(server)

    def to_ask(self, now: float) -> List[str]:
        """Returns the addresses at which to ask for the list: the configured
        ones, then those of the list. The result is empty if it is too early to
        ask.
        """
        with self._lock:
            if not self._discover or not self._stale or now - self._asked < REFRESH:
                return []
            self._asked = now
            return list(dict.fromkeys(self._configured + [s.url for s in self._servers]))

    def keep(self) -> None:
        """Keeps the list until the next failure."""
        with self._lock:
            self._stale = False

    def learned(self, servers: Sequence[Server]) -> None:
        """Replaces the servers. Those that stay keep their state."""
        with self._lock:
            before = {s.url: s for s in self._servers}
            now = []
            for server in servers:
                known = before.pop(server.url, server)  # a list may name an address twice
                known.name, known.region, known.state = server.name, server.region, server.state
                now.append(known)
            self._servers, self._stale = now, False
            if not any(s.url == self._current and (not self._name or s.name == self._name) for s in now):
                self._current = ""
