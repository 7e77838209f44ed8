"""The client: the path of a command from the call to the server."""

from __future__ import annotations

import asyncio
import atexit
import base64
import json
import logging
import os
import ssl
import sys
import threading
import time
import weakref
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union
from urllib.parse import quote, urlsplit

from . import _commands
from ._answer import (
    AGAIN,
    DELIVERED,
    FIRST_DELAY,
    MAX_DELAY,
    MAX_MOVES,
    NOT_OURS,
    REJECTED,
    Answer,
    Decision,
    parse,
    reason_of,
    server_url,
    target,
)
from ._http import Transport
from ._positions import HEADER, Place, is_position
from ._queue import Queue
from ._servers import Fleet, Server, read_servers
from ._types import AnswerError, Command, Ids, Properties, Rejection, Report, Timestamp

_log = logging.getLogger("trackway")

_PATIENCE = 10.0
"""Seconds to wait for an answer of /api/servers, because commands wait in the
meantime.
"""

_MAX_READ = 64 << 20  # bytes of an answer to a question
_MAX_IDLE = 8  # connections that are kept for the next question

_FULL = ("drop_newest", "drop_oldest", "block")


class Client:
    """Sends commands to a server. Any number of threads may use it.

    Call close before the program ends.

    url: the server, such as ``https://track.example.com``.
    project: the project's token.
    key: a public key; or key_id and secret, a private one.
    servers: several servers instead of url. The client draws one and keeps it
        until it fails. A text is the address of a server that returns the list
        (``/api/servers``); server then names the one to use, and region the
        region to prefer.
    flush_interval: seconds for which a command waits for others. A full batch
        does not wait.
    batch_size: commands in a request, at most 50.
    queue_bytes: bytes of the commands in the queue.
    when_full: ``drop_newest``, ``drop_oldest``, or ``block``: the call waits
        for room.
    timeout: seconds for one request.
    max_delay: the longest wait between two attempts, in seconds, if the server
        names no time.
    directory: keeps the queue on disk as well, so that it outlives the process.
        Processes may share the directory.
    sync: each call waits for the disk, so that the queue survives a power cut.
    on_reject: is called with each command that will never be delivered.
    on_trouble: is called with an exception when something goes wrong and the
        commands are kept: no answer, a wrong key, a full disk. Without it, the
        logger ``trackway`` warns.
    exit_timeout: seconds for which the end of the program waits for the queue.
    ssl_context: for a certificate authority of your own.

    Raises ValueError if the options are wrong, and OSError if the directory
    cannot be used. It asks no server anything.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        *,
        project: str,
        key: Optional[str] = None,
        key_id: Optional[str] = None,
        secret: Optional[str] = None,
        servers: Union[None, str, Sequence[str]] = None,
        server: str = "",
        region: str = "",
        flush_interval: float = 1.0,
        batch_size: int = _commands.MAX_COMMANDS,
        queue_bytes: int = 64 << 20,
        when_full: str = "drop_newest",
        timeout: float = 30.0,
        max_delay: float = MAX_DELAY,
        directory: Union[None, str, "os.PathLike[str]"] = None,
        sync: bool = False,
        on_reject: Optional[Callable[[Rejection], object]] = None,
        on_trouble: Optional[Callable[[Exception], object]] = None,
        exit_timeout: float = 5.0,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._discovers = isinstance(servers, str)
        self._urls = _addresses(url, servers)
        _check(
            (bool(project) and not set(project) & set("/?# \r\n"), "project must be the project's token"),
            (bool(key) != bool(key_id and secret), "give either key, or key_id and secret"),
            (not (server or region) or self._discovers, "server and region need servers to be one address"),
            (1 <= batch_size <= _commands.MAX_COMMANDS, f"batch_size must be 1 to {_commands.MAX_COMMANDS}"),
            (when_full in _FULL, f"when_full must be one of {', '.join(_FULL)}"),
            (
                flush_interval >= 0 and exit_timeout >= 0 and queue_bytes > 0,
                "times and sizes must not be negative",
            ),
            (timeout > 0 and max_delay > 0, "timeout and max_delay must be positive"),
        )
        self._authorization = _authorization(key, key_id, secret)
        self._project = quote(project, safe="")
        self._server, self._region = server, region
        self._interval, self._batch_size = flush_interval, batch_size
        self._queue_bytes, self._when_full = queue_bytes, when_full
        self._timeout, self._max_delay = timeout, max_delay
        self._directory, self._sync = os.fspath(directory) if directory else "", sync
        self._on_reject, self._on_trouble = on_reject, on_trouble
        self._exit_timeout = exit_timeout
        self._ssl_context = ssl_context
        self._closed = False  # no command is taken any more
        self._begin()
        self._queue.open()
        self._took = len(self._queue)
        self._flush_to = self._took
        if self._took:
            with self._changed:
                self._ensure_sender()
        self._tell()
        _clients.add(self)

    def _begin(self) -> None:
        """Creates everything that changes, in its initial state."""
        # Guards what follows. The queue is written under it; requests are made
        # and the owner's functions are called without it. It is reentrant, so
        # that a signal handler may call the client.
        self._changed = threading.Condition(threading.RLock())
        self._troubles: List[Exception] = []  # to be told
        self._queue = Queue(self._directory, self._sync, self._troubles.append)
        self._fleet = Fleet(self._urls, self._discovers, self._server, self._region, self._max_delay)
        self._transport = Transport(self._ssl_context)
        self._place = Place()
        self._idle: List[Transport] = []  # for questions
        self._stamps = _commands.Stamps()
        self._sender: Optional[threading.Thread] = None
        self._stop_at: Optional[float] = None  # when the sender ends, whatever is left
        self._oldest = 0.0  # since when the first waiting command has waited, about
        self._took = 0  # commands in all
        self._way_from = 0  # how many commands had come before those that are on their way
        self._on_way = 0
        self._flush_to = 0  # how many commands are to be sent without waiting for a full batch
        self._delivered = self._rejected = 0
        self._requests = self._limited = self._failed = self._denied = 0
        self._last_error = self._logged = ""

    def __repr__(self) -> str:
        return f"<trackway.Client of {', '.join(self._urls)}>"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Calls that queue.

    def track(
        self,
        type: str,
        properties: Optional[Properties] = None,
        *,
        ids: Ids,
        timestamp: Optional[Timestamp] = None,
    ) -> bool:
        """Queues an event, and returns without waiting for the network.

        Returns True if the event is queued. Returns False if it will never be
        sent; on_reject is then called, too. A network problem never raises an
        exception here. Without a timestamp the event happens now. Two calls are
        two events, even if they are equal; two equal events with the same
        timestamp are one.
        """
        return self._add("customers/events", ids, type, properties, "timestamp", timestamp)

    def update(
        self, properties: Optional[Properties] = None, *, ids: Ids, timestamp: Optional[Timestamp] = None
    ) -> bool:
        """Queues an update of a customer's properties, as track does for
        events. A property with a later update keeps its value.
        """
        return self._add("customers", ids, None, properties, "update_timestamp", timestamp)

    def identify(
        self,
        who: Union[str, Ids],
        properties: Optional[Properties] = None,
        *,
        ids: Optional[Ids] = None,
        timestamp: Optional[Timestamp] = None,
    ) -> bool:
        """Says that identifiers belong to one customer, and can also set
        properties. A text is the identifier ``registered``.
        """
        named = {"registered": who} if isinstance(who, str) else who
        return self.update(properties, ids={**(ids or {}), **named}, timestamp=timestamp)

    async def atrack(
        self,
        type: str,
        properties: Optional[Properties] = None,
        *,
        ids: Ids,
        timestamp: Optional[Timestamp] = None,
    ) -> bool:
        """Does what track does, without blocking the loop if the queue is full
        or on disk.
        """
        return await asyncio.to_thread(self.track, type, properties, ids=ids, timestamp=timestamp)

    async def aupdate(
        self, properties: Optional[Properties] = None, *, ids: Ids, timestamp: Optional[Timestamp] = None
    ) -> bool:
        """Does what update does, without blocking the loop."""
        return await asyncio.to_thread(self.update, properties, ids=ids, timestamp=timestamp)

    async def aidentify(
        self,
        who: Union[str, Ids],
        properties: Optional[Properties] = None,
        *,
        ids: Optional[Ids] = None,
        timestamp: Optional[Timestamp] = None,
    ) -> bool:
        """Does what identify does, without blocking the loop."""
        return await asyncio.to_thread(self.identify, who, properties, ids=ids, timestamp=timestamp)

    def _add(
        self,
        name: str,
        ids: Ids,
        type: Optional[str],
        properties: Optional[Properties],
        clock: str,
        timestamp: Optional[Timestamp],
    ) -> bool:
        try:
            micros = self._stamp() if timestamp is None else _commands.micros_of(timestamp)
            command = _commands.encode(name, ids, type, properties, clock, micros)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            data: Dict[str, Any] = {"customer_ids": ids, "properties": properties, clock: timestamp}
            if type is not None:
                data["event_type"] = type
            return self._refuse({"name": name, "data": data}, "invalid", str(error))
        dropped: List[bytes] = []
        with self._changed:
            refusal = self._make_room(len(command), dropped)
            if not refusal:
                self._push(command)
        for old in dropped:
            self._refuse(json.loads(old), "full", "The queue is full.")
        self._tell()
        if refusal == "closed":
            return self._refuse(json.loads(command), refusal, "The client is closed.")
        return not refusal or self._refuse(json.loads(command), refusal, "The queue is full.")

    def _stamp(self) -> int:
        with self._changed:
            return self._stamps.next(time.time_ns() // 1000)

    def _make_room(self, size: int, dropped: List[bytes]) -> str:
        """Waits until the queue has room for a command. Returns an empty text
        then, or the reason why there will be no room. Needs the lock, and
        releases it while it waits.

        A command that is larger than the whole queue has room once the queue is
        empty.
        """
        while not self._closed and self._queue.size > 0 and self._queue.size + size > self._queue_bytes:
            if self._when_full == "drop_oldest":
                old = self._queue.drop()
                if old is None:  # all that is left is on its way
                    return "full"
                dropped.append(old)
                self._changed.notify_all()
            elif self._when_full == "block" and not self._in_sender():
                self._changed.wait()
            else:
                return "full"
        return "closed" if self._closed else ""

    def _push(self, command: bytes) -> None:
        if len(self._queue) == 0:
            self._oldest = time.monotonic()
        self._queue.push(command)
        self._took += 1
        self._ensure_sender()
        if len(self._queue) in (1, self._batch_size):
            self._changed.notify_all()  # the sender may be waiting for this

    # Calls that wait.

    def flush(self, timeout: float = 10.0) -> Report:
        """Sends what was queued before, and returns when all of it is delivered
        or rejected, or after the timeout.

        If on_reject or on_trouble calls it, it does not wait. In another thread
        it waits until they have returned, so they must not wait for that.
        """
        end = time.monotonic() + timeout
        with self._changed:
            target = self._took
            self._flush_to = max(self._flush_to, target)
            self._ensure_sender()
            self._changed.notify_all()
            while not self._settled(target) and not self._in_sender() and _alive(self._sender):
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._report()

    def close(self, timeout: float = 10.0) -> Report:
        """Accepts no more commands, delivers the queued ones until the timeout,
        and reports what is left.

        With a directory, what is left stays there for the next process.
        """
        with self._changed:
            self._closed = True
            stop_at = time.monotonic() + timeout
            self._stop_at = stop_at if self._stop_at is None else min(self._stop_at, stop_at)
            self._flush_to = self._took
            self._ensure_sender()
            self._changed.notify_all()
            sender = self._sender
        if self._in_sender():
            return self.report
        if _alive(sender):
            assert sender is not None
            sender.join(max(0.0, self._stop_at - time.monotonic()))
            if sender.is_alive():
                self._transport.abort()
                sender.join(1.0)
        else:
            self._send()  # no thread can be started when the interpreter ends
        _clients.discard(self)
        with self._changed:
            self._queue.close()
            report = self._report()
            for transport in self._idle:
                transport.close()
            self._idle.clear()
        self._tell()
        return report

    def time(self, timeout: float = 10.0) -> float:
        """Asks the server for its time, in Unix seconds.

        This shows whether the server can be reached and knows the project and
        the key. Any other answer raises AnswerError, and no answer raises
        ConnectionError. TimeoutError means that the client had to wait too long
        for its turn.
        """
        end = time.monotonic() + timeout
        transport = Transport(self._ssl_context)
        try:
            answer = self._ask_time(transport, self._pause_until(end), end)
        finally:
            transport.close()
        if answer.error is not None:
            raise ConnectionError(answer.error)
        body = parse(answer.body)
        now = body.get("time") if answer.status == 200 and isinstance(body, dict) else None
        if not isinstance(now, (int, float)):
            raise AnswerError(answer.status, NOT_OURS if answer.status == 200 else reason_of(answer))
        return float(now)

    def _pause_until(self, end: float) -> Callable[[float], bool]:
        """Returns a function that waits for some seconds. It returns False if
        that would go beyond a time, or if the client is closed.
        """

        def pause(seconds: float) -> bool:
            if seconds > end - time.monotonic():
                return False
            with self._changed:
                return not self._changed.wait_for(lambda: self._closed, seconds)

        return pause

    def _ask_time(self, transport: Transport, pause: Callable[[float], bool], end: float) -> Answer:
        to = ""
        for _ in range(MAX_MOVES + 1):
            server = self._turn(transport, pause)
            if server is None:
                raise TimeoutError("The client is closed, or has to wait for longer.")
            answer = self._ask(
                transport, server, "GET", to or self._path(server.url, "system/time"), None, end
            )
            if answer.error is None:
                self._fleet.heard(server, answer)
            to = target(answer)
            if not to:
                break
            self._fleet.moved(_origin(to, self._path("", "system/time")))
        return answer

    def read(self, route: str, question: Any, timeout: float = 30.0) -> Any:
        """Asks a question of the data API, and returns the answer.

        route is what follows the project in the path, such as
        ``customers/export-one``. question and the answer are JSON. The key of
        the client must be allowed to read, so it is usually a private one.

        The answer shows everything that this client has delivered before the
        call, and everything up to ``after``, even if another server of the
        cluster has stored it. Commands that still wait are not delivered: call
        flush first.

        If a server cannot answer, another one is asked, for at most timeout
        seconds. Then TimeoutError says why the last one could not. A question
        that is refused raises AnswerError.
        """
        end = time.monotonic() + timeout
        body = json.dumps(question).encode()
        with self._changed:
            transport = self._idle.pop() if self._idle else Transport(self._ssl_context)
        try:
            answer = self._read(transport, route.lstrip("/"), body, end)
        finally:
            with self._changed:
                kept = not self._closed and len(self._idle) < _MAX_IDLE
                if kept:
                    self._idle.append(transport)
            if not kept:
                transport.close()
        try:
            return json.loads(answer.body.decode())
        except (ValueError, RecursionError):
            raise AnswerError(answer.status, NOT_OURS) from None

    def _read(self, transport: Transport, route: str, body: bytes, end: float) -> Answer:
        """Asks until a question is answered, and returns that answer."""
        packed, compressed = _commands.compress(body)
        to, moves, bare, last = "", 0, False, ""
        while True:
            server = self._turn(transport, self._pause_until(end))
            if server is None or end <= time.monotonic():
                raise TimeoutError(last or "The client is closed, or has to wait for longer.")
            if not to:
                to, moves = self._data_path(server.url, route), 0
            sent = "" if bare else self._place.held
            headers = {**self._headers(), "Content-Type": "application/json"}
            if compressed:
                headers["Content-Encoding"] = "gzip"
            if sent:
                headers[HEADER] = sent
            self._fleet.sent(server)
            left = min(self._timeout, end - time.monotonic())
            answer = transport.exchange("POST", to, headers, packed, left, _MAX_READ)
            answer.moves, to = moves, ""
            decision = self._fleet.decide_question(server, answer, sent)
            self._place.after(decision, str(answer.headers.get(HEADER, "")), sent)
            if decision.action == "done":
                return answer
            if decision.action == "reject":
                raise AnswerError(answer.status, decision.reason)
            if decision.action == "move":
                to, moves = decision.url, moves + 1
                self._fleet.moved(_origin(to, self._data_path("", route)))
            elif decision.action == "without":
                bare = True
            elif not (last and answer.late and left < self._timeout):
                # The end of the call cut the last request short. Why the one
                # before was not answered says more.
                last = decision.reason

    def _data_path(self, url: str, route: str) -> str:
        return f"{url}/data/v2/projects/{self._project}/{route}"

    @property
    def position(self) -> str:
        """How far the data of a cluster goes, as far as this client knows:
        everything that it has delivered is included.

        Hand it to another process, which reads: see after. A program without a
        client sends it in the header ``Trackway-Position``. It is empty if
        nothing was delivered yet, or if the server stands alone.
        """
        return self._place.held

    def after(self, position: str) -> None:
        """Makes later calls of read show everything up to a position of another
        client, of the same project and the same cluster.

        The later one of this position and the client's own counts. An empty
        position changes nothing. Raises ValueError if it is no position.
        """
        _check((not position or is_position(position), "position must be one of a client, such as 0.1234"))
        self._place.learn(position)

    @property
    def report(self) -> Report:
        """The results of the commands so far. After a fork, the child starts at
        zero.
        """
        with self._changed:
            return self._report()

    @property
    def server(self) -> str:
        """The address of the server in use; empty before the first request."""
        return self._fleet.current

    async def aflush(self, timeout: float = 10.0) -> Report:
        """Does what flush does, without blocking the loop."""
        return await asyncio.to_thread(self.flush, timeout)

    async def aclose(self, timeout: float = 10.0) -> Report:
        """Does what close does, without blocking the loop."""
        return await asyncio.to_thread(self.close, timeout)

    async def atime(self, timeout: float = 10.0) -> float:
        """Does what time does, without blocking the loop."""
        return await asyncio.to_thread(self.time, timeout)

    async def aread(self, route: str, question: Any, timeout: float = 30.0) -> Any:
        """Does what read does, without blocking the loop."""
        return await asyncio.to_thread(self.read, route, question, timeout)

    def _report(self) -> Report:
        return Report(
            self._delivered,
            self._rejected,
            len(self._queue) + self._on_way,
            self._queue.kept,
            self._requests,
            self._limited,
            self._failed,
            self._denied,
            self._last_error,
        )

    def _settled(self, target: int) -> bool:
        """Reports whether none of the first commands is waiting or on its way,
        all rejections of them are told, and the journal knows. Needs the lock.

        The waiting commands are the last ones, because commands leave the queue
        only at its front.
        """
        return self._took - len(self._queue) >= target and (
            not self._queue.taken or self._way_from >= target
        )

    # The sender. One request is under way at a time, so commands stay in order.

    def _ensure_sender(self) -> None:
        """Starts the thread that sends, if there is something to send. Needs
        the lock.
        """
        if len(self._queue) == 0 or _alive(self._sender):
            return
        sender = threading.Thread(target=self._send, name="trackway", daemon=True)
        try:
            sender.start()
        except RuntimeError as error:  # there are too many, or the interpreter ends
            if str(error) != self._last_error:
                self._last_error = str(error)
                self._troubles.append(error)
            return
        self._sender = sender

    def _in_sender(self) -> bool:
        """Reports whether the caller is a function of the owner, called by the
        sender.
        """
        return threading.current_thread() is self._sender

    def _send(self) -> None:
        """Sends until the client is closed and the queue is empty, or the time
        is over.
        """
        with self._changed:
            self._sender = threading.current_thread()
        try:
            while self._await_due():
                try:
                    if not self._send_batch():
                        break
                except Exception as error:  # a mistake of ours must not end the thread
                    with self._changed:
                        self._queue.untake()
                        self._on_way = 0
                        self._troubles.append(error)
                    self._tell()
                    self._pause(FIRST_DELAY)
        finally:
            self._transport.close()
            with self._changed:
                self._sender = None
                self._changed.notify_all()

    def _send_batch(self) -> bool:
        """Sends the next batch. Returns False if the time ends before all of it
        is settled.
        """
        # The turn comes before the batch, so that the batch is as full as can
        # be.
        if self._turn(self._transport, self._pause) is None:
            return False
        with self._changed:
            batch = self._queue.take(self._batch_size)
            self._on_way = len(batch)
            self._way_from = self._took - len(self._queue) - self._on_way
            self._oldest = time.monotonic()
        if not self._deliver(batch):
            return False
        with self._changed:
            self._queue.settle()
            self._changed.notify_all()
        self._tell()
        return True

    def _await_due(self) -> bool:
        """Waits until a batch is due. Returns False if there will be none."""
        with self._changed:
            while True:
                now, waiting = time.monotonic(), len(self._queue)
                if self._left(now) <= 0 or (self._closed and waiting == 0):
                    return False
                age = now - self._oldest
                if _commands.due(
                    waiting, age, not self._settled(self._flush_to), self._interval, self._batch_size
                ):
                    return True
                wait = min(self._interval - age if waiting else threading.TIMEOUT_MAX, self._left(now))
                self._changed.wait(wait)

    def _left(self, now: float) -> float:
        """Returns the seconds until the sender has to end. Needs the lock."""
        return threading.TIMEOUT_MAX if self._stop_at is None else self._stop_at - now

    def _pause(self, seconds: float) -> bool:
        """Waits. Returns False if the time for the sender ends first."""
        until = time.monotonic() + seconds
        with self._changed:
            while True:
                now = time.monotonic()
                if self._left(now) <= 0:
                    return False
                if now >= until:
                    return True
                self._changed.wait(min(until - now, self._left(now)))

    def _turn(self, transport: Transport, pause: Callable[[float], bool]) -> Optional[Server]:
        """Waits until a server may be asked, and returns the server. Returns
        None if the wait is cut short.
        """
        while True:
            self._discover(transport)
            server, wait = self._fleet.next(time.monotonic())
            if server is not None:
                return server
            if not pause(wait):
                return None

    def _deliver(self, batch: List[bytes]) -> bool:
        """Sends a batch until all of it is settled. Returns False if the time
        ends first.
        """
        to, moves = "", 0
        while batch:
            server = self._turn(self._transport, self._pause)
            if server is None:
                return False
            if not to:
                to, moves = self._path(server.url, "batch"), 0
            with self._changed:
                left = self._left(time.monotonic())
            before = self._place.held
            answer = self._ask(self._transport, server, "POST", to, batch, time.monotonic() + left)
            if answer.error is not None and not self._pause(0):
                return False
            answer.moves, to = moves, ""
            decision = self._fleet.decide(server, answer, len(batch))
            self._count(answer, decision)
            self._place.after(decision, str(answer.headers.get(HEADER, "")), before, decision.stored)
            if decision.action == "move":
                to, moves = decision.url, moves + 1
                self._fleet.moved(_origin(to, self._path("", "batch")))
            elif decision.action == "split":
                half = (len(batch) + 1) // 2
                if not self._deliver(batch[:half]):
                    return False
                batch = batch[half:]
            elif decision.action == "reject":
                self._conclude(batch, [(REJECTED, decision.reason)])
                batch = []
            elif decision.action == "done":
                batch = self._conclude(batch, decision.results)
            self._tell()
        return True

    def _conclude(self, batch: List[bytes], results: Sequence[Tuple[str, str]]) -> List[bytes]:
        """Settles the commands that have a result, and returns those to send
        again.
        """
        again = []
        for command, (outcome, reason) in zip(batch, results):
            if outcome == AGAIN:
                again.append(command)
                continue
            with self._changed:
                self._on_way -= 1
                self._delivered += outcome == DELIVERED
            if outcome != DELIVERED:
                self._refuse(json.loads(command), "refused", reason)
        return again

    def _count(self, answer: Answer, decision: Decision) -> None:
        with self._changed:
            self._requests += 1
            self._last_error = decision.reason if decision.action == "retry" else ""
            if decision.action != "retry":
                self._logged = ""
                return
            limited = answer.status == 429
            self._limited += limited
            self._failed += not limited
            self._denied += decision.denied
            if answer.error is None:
                self._troubles.append(AnswerError(answer.status, decision.reason))
            else:
                self._troubles.append(ConnectionError(answer.error))

    def _path(self, url: str, route: str) -> str:
        return f"{url}/track/v2/projects/{self._project}/{route}"

    def _ask(
        self,
        transport: Transport,
        server: Server,
        method: str,
        to: str,
        batch: Optional[List[bytes]],
        end: float,
    ) -> Answer:
        """Sends one request of the tracking API to a server."""
        headers = self._headers()
        body: Optional[bytes] = None
        if batch is not None:
            headers["Content-Type"] = "application/json"
            body, packed = _commands.compress(_commands.body_of(batch))
            if packed:
                headers["Content-Encoding"] = "gzip"
        self._fleet.sent(server)
        return transport.exchange(method, to, headers, body, min(self._timeout, end - time.monotonic()))

    def _headers(self) -> Dict[str, str]:
        return {"User-Agent": "trackway-python/1", "Authorization": self._authorization}

    def _discover(self, transport: Transport) -> None:
        """Reads the list of servers, if the options ask for it and it is time.

        If the answer is not a list, such as a captive portal's page, the client
        keeps the list that it has.
        """
        unlisted = False
        for address in self._fleet.to_ask(time.monotonic()):
            headers = {"User-Agent": "trackway-python/1"}
            answer = transport.exchange(
                "GET", address + "/api/servers", headers, None, min(_PATIENCE, self._timeout)
            )
            if answer.error is not None or answer.status >= 500 or answer.status == 429:
                continue
            servers = read_servers(answer.body, address)
            if servers[0].name:
                self._fleet.learned(servers)
                return
            unlisted = True
        if unlisted:
            self._fleet.keep()

    # Reports to the owner's functions. They are called without the lock, so
    # that they may take their time and call the client.

    def _refuse(self, command: Command, code: str, reason: str) -> bool:
        """Counts and reports a command that will never be delivered."""
        with self._changed:
            self._rejected += 1
        if self._on_reject is not None:
            _call("on_reject", self._on_reject, Rejection(command, code, reason))
        else:
            self._warn(f"a command will not be delivered: {code}")
        return False

    def _tell(self) -> None:
        """Reports the troubles that were noted."""
        while self._troubles:
            try:
                trouble = self._troubles.pop(0)
            except IndexError:  # another thread was faster
                return
            if self._on_trouble is not None:
                _call("on_trouble", self._on_trouble, trouble)
            elif isinstance(trouble, AnswerError):
                self._warn(f"commands are kept: the server answers {trouble.status}")
            else:
                self._warn(f"trouble: {trouble}")

    def _warn(self, text: str) -> None:
        """Logs a trouble, unless it was the last one logged. It leaves out a
        server's words, which might repeat a key or personal data.
        """
        with self._changed:
            fresh, self._logged = text != self._logged, text
        if fresh:
            _log.warning("%s", text)

    # Forks.

    def _forked(self) -> None:
        """Starts afresh in a child process. The parent sends what it has
        queued.
        """
        self._transport.leave()
        for transport in self._idle:
            transport.leave()
        self._queue.leave()
        self._begin()
        util = sys.modules.get("multiprocessing.util")
        if util is not None:  # whose children end without the functions of atexit
            util.register_after_fork(self, Client._close_with_child)

    def _close_with_child(self) -> None:
        from multiprocessing import util

        util.Finalize(None, self.close, (self._exit_timeout,), exitpriority=0)


def _check(*rules: Tuple[bool, str]) -> None:
    for holds, text in rules:
        if not holds:
            raise ValueError(f"options: {text}")


def _addresses(url: Optional[str], servers: Union[None, str, Sequence[str]]) -> List[str]:
    given = [servers] if isinstance(servers, str) else list(servers or [])
    given = ([url] if url else []) + given
    _check((bool(given), "give url or servers, such as https://track.example.com"))
    for address in given:
        shown = "…" if "@" in address else address  # it may hold a password
        _check(
            (
                bool(server_url(address)),
                f"{shown!r} is not the address of a server, such as https://track.example.com",
            )
        )
    return list(dict.fromkeys(map(server_url, given)))


def _authorization(key: Optional[str], key_id: Optional[str], secret: Optional[str]) -> str:
    for text in (key, key_id, secret):
        _check(
            (not text or (text.isascii() and text.isprintable()), "a key has printable ASCII characters only")
        )
    return f"Token {key}" if key else "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()


def _origin(to: str, path: str) -> str:
    """Returns the server that a redirect of a path leads to: the part of the
    address before the path, or else scheme and host.
    """
    if to.endswith(path):
        return to[: -len(path)]
    parts = urlsplit(to)
    return f"{parts.scheme}://{parts.netloc}"


def _call(name: str, function: Callable[[Any], object], what: Any) -> None:
    """Calls a function of the owner. An exception in it does not stop the
    client.
    """
    try:
        function(what)
    except Exception as error:
        _log.error("%s raised %s", name, type(error).__name__)


def _alive(thread: Optional[threading.Thread]) -> bool:
    return thread is not None and thread.is_alive()


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _at_exit() -> None:
    """Delivers what is queued when the program ends, for a limited time."""
    clients = list(_clients)
    for client in clients:
        client.flush(0)  # all of them send at the same time
    now = time.monotonic()
    for client in clients:
        client.close(max(0.0, client._exit_timeout - (time.monotonic() - now)))


def _after_fork() -> None:
    for client in list(_clients):
        client._forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
