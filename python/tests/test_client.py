"""The client against a server that misbehaves."""

from __future__ import annotations

import contextlib
import decimal
import fractions
import itertools
import logging
import os
import select
import shutil
import ssl
import subprocess
import threading
import time
import unittest
import uuid
from datetime import date, datetime, timedelta, timezone
from typing import Any, Callable, Dict, List
from unittest import mock

from trackway import AnswerError, Client, Rejection, _client, _servers
from trackway._answer import Answer
from trackway._http import Transport
from trackway._positions import HEADER

from .support import JANE, KEY, PATIENCE, PROJECT, Case, Reply, Request, ok


class Commands(Case):
    """What is sent."""

    def test_an_event(self) -> None:
        fake = self.fake()
        client = self.client(fake.url + "/")
        before = time.time_ns() // 1000
        self.assertTrue(client.track("purchase", {"total": 7.99, "names": ["Jané"]}, ids=JANE))
        self.delivered(client, 1)
        request, command = fake.requests[0], fake.commands[0]
        self.assertEqual(request.path, f"/track/v2/projects/{PROJECT}/batch")
        self.assertEqual(request.headers["Authorization"], "Token " + KEY)
        self.assertEqual(request.headers["Content-Type"], "application/json")
        self.assertIn("Content-Length", request.headers)
        self.assertEqual(command["name"], "customers/events")
        data = command["data"]
        self.assertTrue(before <= round(data.pop("timestamp") * 1e6) <= time.time_ns() // 1000)
        self.assertEqual(
            data,
            {
                "customer_ids": JANE,
                "event_type": "purchase",
                "properties": {"total": 7.99, "names": ["Jané"]},
            },
        )
        self.assertEqual(client.server, fake.url)

    def test_updates(self) -> None:
        fake = self.fake()
        client = self.client(fake.url)
        client.update({"plan": "pro"}, ids=JANE, timestamp=1.5)
        client.identify(
            "jane",
            ids={"cookie": ["a", "b"]},
            timestamp=datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
        )
        client.identify({"cookie": 7}, {"a": None}, timestamp=3.000001)
        self.delivered(client, 3)
        self.assertEqual({command["name"] for command in fake.commands}, {"customers"})
        self.assertEqual(
            [command["data"] for command in fake.commands],
            [
                {"customer_ids": JANE, "properties": {"plan": "pro"}, "update_timestamp": 1.5},
                {
                    "customer_ids": {"cookie": ["a", "b"], "registered": "jane"},
                    "update_timestamp": 1767308400,
                },
                {"customer_ids": {"cookie": 7}, "properties": {"a": None}, "update_timestamp": 3.000001},
            ],
        )

    def test_values_of_python(self) -> None:
        fake = self.fake()
        client = self.client(fake.url)
        number = uuid.UUID(int=1)
        day, moment = date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        properties = {
            "d": decimal.Decimal("7.99"),
            "u": number,
            "day": day,
            "at": moment,
            "t": (1, 2),
            "s": {3},
            "r": fractions.Fraction(1, 2),
            "half": "\ud800",
        }
        client.track("values", properties, ids={"registered": number})
        self.delivered(client, 1)
        data = fake.commands[0]["data"]
        self.assertEqual(data["customer_ids"], {"registered": str(number)})
        want = {
            "d": 7.99,
            "u": str(number),
            "day": "2026-01-02",
            "at": "2026-01-02T03:04:05+00:00",
            "t": [1, 2],
            "s": [3],
            "r": 0.5,
            "half": "\ud800",
        }
        self.assertEqual(data["properties"], want)

    def test_equal_calls_are_two_events(self) -> None:
        fake = self.fake()
        client = self.client(fake.url)
        with mock.patch("time.time_ns", return_value=1_700_000_000_000_000_000):
            self.track(client, [1] * 60)
        self.delivered(client, 60)
        self.assertEqual(len({command["data"]["timestamp"] for command in fake.commands}), 60)

    def test_the_maps_are_not_kept(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, flush_interval=PATIENCE)
        properties, ids = {"n": 1}, dict(JANE)
        client.track("step", properties, ids=ids)
        properties["n"] = 2
        ids.clear()
        self.delivered(client, 1)
        self.assertEqual(fake.numbers, [1])

    def test_batches(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, flush_interval=PATIENCE)
        self.track(client, range(50))
        fake.await_requests(1)  # without a flush: it is full
        self.track(client, range(50, 170))
        self.delivered(client, 170)
        self.assertEqual(fake.numbers, list(range(170)))
        self.assertLessEqual(max(len(request.commands) for request in fake.requests), 50)
        self.assertTrue(fake.requests[0].packed)
        self.assertEqual(fake.connections, 1)

    def test_a_batch_of_one_is_not_compressed(self) -> None:
        fake = self.fake()
        client = self.client(fake.url)
        self.track(client, [1])
        fake.await_requests(1)
        self.delivered(client, 1)
        self.assertFalse(fake.requests[0].packed)

    def test_a_private_key(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, key_id="id", secret="secret")
        self.track(client, [1])
        self.delivered(client, 1)
        self.assertEqual(fake.requests[0].headers["Authorization"], "Basic aWQ6c2VjcmV0")


class Refusals(Case):
    """What is never delivered, and how that is told."""

    def told(self) -> List[Rejection]:
        return []

    def test_invalid(self) -> None:
        fake, told = self.fake(), self.told()
        client = self.client(fake.url, on_reject=told.append)
        circle: Dict[str, Any] = {}
        nobody: Any = None
        circle["circle"] = circle
        calls: List[Callable[[], bool]] = [
            lambda: client.track("", ids=JANE),
            lambda: client.track("x" * 257, ids=JANE),
            lambda: client.track("a", ids={}),
            lambda: client.track("a", ids={"registered": " "}),
            lambda: client.track("a", ids={"registered": "\ud800"}),
            lambda: client.track("a", ids=nobody),
            lambda: client.track("a", {"n": float("nan")}, ids=JANE),
            lambda: client.track("a", {"n": decimal.Decimal("NaN")}, ids=JANE),
            lambda: client.track("a", {"n": object()}, ids=JANE),
            lambda: client.track("a", circle, ids=JANE),
            lambda: client.track("a", {"text": "x" * 800_000}, ids=JANE),
            lambda: client.track("a", ids=JANE, timestamp=float("nan")),
            lambda: client.track("a", ids=JANE, timestamp=-1),
            lambda: client.track("a", ids=JANE, timestamp=10**400),
            lambda: client.track("a", ids=JANE, timestamp=datetime(2201, 1, 2)),
            lambda: client.track("a", ids=JANE, timestamp=True),
            lambda: client.update({"a": object()}, ids=JANE),
        ]
        for call in calls:
            self.assertIs(call(), False)
        self.assertEqual([r.code for r in told], ["invalid"] * len(calls))
        self.assertTrue(all(r.reason for r in told))
        self.assertEqual(client.close().rejected, len(calls))
        self.assertEqual(fake.requests, [])

    def test_partial_failure(self) -> None:
        told = self.told()
        fake = self.fake(lambda request: ok(request, 1, 3))
        client = self.client(fake.url, flush_interval=PATIENCE, on_reject=told.append)
        self.track(client, range(5))
        report = client.flush(PATIENCE)
        self.assertEqual((report.delivered, report.rejected, report.pending), (3, 2, 0))
        self.assertEqual(
            [(r.command["data"]["properties"]["n"], r.code, r.reason) for r in told],
            [(1, "refused", "No."), (3, "refused", "No.")],
        )
        self.assertEqual(len(fake.requests), 1)

    def test_one_unreadable_command(self) -> None:
        told = self.told()

        def answer(request: Request) -> Reply:
            if any(command["data"]["properties"]["n"] == 20 for command in request.commands):
                return Reply(400, {"success": False, "message": "Invalid JSON"})
            return ok(request)

        fake = self.fake(answer)
        client = self.client(fake.url, flush_interval=PATIENCE, on_reject=told.append)
        self.track(client, range(50))
        report = client.flush(PATIENCE)
        self.assertEqual((report.delivered, report.rejected), (49, 1))
        self.assertEqual(
            [(r.command["data"]["properties"]["n"], r.reason) for r in told], [(20, "Invalid JSON")]
        )

    def test_unreadable_results(self) -> None:
        fake = self.fake(
            [Reply(body={"results": [{"success": True}, {}, {"success": True}], "success": True})]
        )
        client = self.client(fake.url, flush_interval=PATIENCE)
        self.track(client, range(3))
        self.delivered(client, 3)
        self.assertEqual(fake.numbers, [0, 1, 2, 1])

    def test_functions_that_raise_and_call_back(self) -> None:
        closed = threading.Event()
        client: Client

        def told(rejection: Rejection) -> None:
            n = rejection.command["data"]["properties"]["n"]
            if n == 0:
                raise RuntimeError("secret")
            if n == 1:
                self.assertTrue(client.track("step", {"n": 2}, ids=JANE))
                client.flush(PATIENCE)
            if n == 2:
                client.close(PATIENCE)
                closed.set()

        fake = self.fake(lambda request: ok(request, *range(50)))
        client = self.client(fake.url, flush_interval=PATIENCE, on_reject=told)
        self.track(client, [0, 1])
        with self.assertLogs("trackway", logging.ERROR) as logs:
            client.flush(PATIENCE)
            self.wait_for(closed)
        self.assertNotIn("secret", "".join(logs.output))
        self.assertEqual(client.close().rejected, 3)

    def test_a_flush_waits_until_a_rejection_is_told(self) -> None:
        telling, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def told(_: Rejection) -> None:
            telling.set()
            go.wait(PATIENCE)

        client = self.client(self.fake(lambda request: ok(request, 0)).url, on_reject=told)
        self.track(client, [0])
        self.wait_for(telling)
        flushing = threading.Thread(target=client.flush, args=(2 * PATIENCE,))
        flushing.start()
        flushing.join(0.2)
        self.assertTrue(flushing.is_alive())
        go.set()
        flushing.join(PATIENCE)
        self.assertFalse(flushing.is_alive())
        self.assertEqual(client.report.rejected, 1)

    def full(self, when_full: str, told: List[Rejection]) -> Any:
        """Returns a client whose queue has room for three commands, its server
        and what lets that answer. One is on its way.
        """
        hold = threading.Event()
        self.addCleanup(hold.set)
        replies = [hold]

        def answer(request: Request) -> Reply:
            reply = ok(request)
            reply.hold = replies.pop() if replies else None
            return reply

        fake = self.fake(answer)
        client = self.client(fake.url, queue_bytes=500, when_full=when_full, on_reject=told.append)
        self.track(client, [0])
        fake.await_requests(1)
        self.track(client, [1, 2])
        return client, fake, hold

    def test_drop_newest(self) -> None:
        told = self.told()
        client, fake, hold = self.full("drop_newest", told)
        self.assertFalse(client.track("step", {"n": 3}, ids=JANE))
        hold.set()
        self.delivered(client, 3)
        self.assertEqual([(r.code, r.command["data"]["properties"]["n"]) for r in told], [("full", 3)])
        self.assertEqual(fake.numbers, [0, 1, 2])

    def test_drop_oldest(self) -> None:
        told = self.told()
        client, fake, hold = self.full("drop_oldest", told)
        self.track(client, [3, 4])
        hold.set()
        self.delivered(client, 3)
        self.assertEqual(
            [(r.code, r.command["data"]["properties"]["n"]) for r in told], [("full", 1), ("full", 2)]
        )
        self.assertEqual(fake.numbers, [0, 3, 4])

    def test_no_room_behind_what_is_on_its_way(self) -> None:
        told = self.told()
        client, fake, hold = self.full("drop_oldest", told)
        self.assertFalse(client.track("step", {"n": 3, "text": "x" * 400}, ids=JANE))
        hold.set()
        self.delivered(client, 1)
        self.assertEqual(
            [(r.code, r.command["data"]["properties"]["n"]) for r in told], [("full", n) for n in (1, 2, 3)]
        )

    def test_block(self) -> None:
        client, fake, hold = self.full("block", self.told())
        blocked = threading.Thread(target=self.track, args=(client, [3]))
        blocked.start()
        hold.set()
        blocked.join(PATIENCE)
        self.delivered(client, 4)
        self.assertEqual(fake.numbers, [0, 1, 2, 3])

    def test_close_ends_a_block(self) -> None:
        told = self.told()
        client, _, hold = self.full("block", told)
        refused = threading.Event()

        def track() -> None:
            if not client.track("step", {"n": 3}, ids=JANE):
                refused.set()

        blocked = threading.Thread(target=track)
        blocked.start()
        client.close(0)
        self.wait_for(refused)
        blocked.join()
        self.assertEqual([r.code for r in told], ["closed"])

    def test_after_close(self) -> None:
        told = self.told()
        client = self.client(self.fake().url, on_reject=told.append)
        client.close()
        self.assertFalse(client.track("step", ids=JANE))
        self.assertEqual([r.code for r in told], ["closed"])

    def test_options(self) -> None:
        wrong: List[Dict[str, Any]] = [
            {},
            {"url": "http://h"},
            {"url": "http://h", "key": ""},
            {"url": "http://h", "key": "k", "key_id": "i", "secret": "s"},
            {"url": "http://h", "key_id": "i"},
            {"url": "http://h", "key": "k\n"},
            {"url": "ftp://h", "key": "k"},
            {"url": "http://h?x", "key": "k"},
            {"url": "http://h", "key": "k", "project": "a/b"},
            {"url": "http://h", "key": "k", "region": "eu"},
            {"url": "http://h", "key": "k", "batch_size": 51},
            {"url": "http://h", "key": "k", "when_full": "wait"},
            {"url": "http://h", "key": "k", "timeout": 0},
            {"url": "http://h", "key": "k", "flush_interval": -1},
            {"servers": [], "key": "k"},
        ]
        for options in wrong:
            with self.subTest(options), self.assertRaises(ValueError):
                Client(**{"project": PROJECT, **options})
        with self.assertRaises(ValueError) as raised:
            Client("http://user:hidden@h", project=PROJECT, key=KEY)
        self.assertNotIn("hidden", str(raised.exception))


class Outages(Case):
    """What is sent again."""

    def test_all_kinds_of_trouble_cost_nothing(self) -> None:
        results = {"results": [{"success": True}] * 40, "success": True}
        troubles = [
            Reply(429),
            Reply(503, {"errors": {"code": 503, "description": "No room."}}),
            Reply(0),
            Reply(500, b"\xff\xfe"),
            Reply(200, "<html>Please sign in</html>"),
            Reply(200, results, cut=True),
            Reply(200, {"results": [], "success": True}),
            Reply(204),
            Reply(401, {"success": False, "error": "Access key not found"}),
            Reply(403, "<html>"),
            Reply(404, "default backend - 404"),
            Reply(400, {"success": False, "error": "Invalid project id"}),
            Reply(307, headers={"Location": "ftp://elsewhere"}),
            Reply(200, b"x" * ((4 << 20) + 1)),
            Reply(200, b"[" * 100_000),
        ]
        told: List[Exception] = []
        fake = self.fake(list(troubles))
        client = self.client(fake.url, flush_interval=PATIENCE, on_trouble=told.append)
        self.track(client, range(40))
        self.delivered(client, 40)
        self.assertEqual(len(fake.requests), len(troubles) + 1)
        self.assertEqual({request.body for request in fake.requests}, {fake.requests[0].body})
        report = client.report
        self.assertEqual(
            (report.requests, report.limited, report.failed, report.denied),
            (len(troubles) + 1, 1, len(troubles) - 1, 4),
        )
        self.assertEqual(report.last_error, "")
        self.assertEqual(
            [getattr(e, "status", 0) for e in told],
            [429, 503, 0, 500, 200, 0, 200, 204, 401, 403, 404, 400, 307, 0, 200],
        )
        self.assertEqual(str(told[8]), "the server answers 401: Access key not found")
        self.assertIsInstance(told[2], ConnectionError)

    def test_nothing_listens(self) -> None:
        refused = threading.Event()
        client = self.client(self.deaf(), on_trouble=lambda _: refused.set())
        self.track(client, [1])
        self.wait_for(refused)
        report = client.close(0)
        self.assertEqual((report.delivered, report.pending, report.kept), (0, 1, False))
        self.assertIn("refused", report.last_error)

    def test_retry_after_is_kept_to(self) -> None:
        fake = self.fake([Reply(429, headers={"Retry-After": "3000"})])
        client = self.client(fake.url)
        waits: List[float] = []
        client._pause = lambda seconds: self.pass_time(client, seconds, waits)  # type: ignore[method-assign]
        self.track(client, [1])
        self.delivered(client, 1)
        self.assertTrue(3000 - PATIENCE < max(waits) <= 3300, waits)  # this machine may take some seconds for it

    def test_pacing_is_kept_to(self) -> None:
        fields = {"RateLimit-Policy": '"track";q=100;w=3600', "RateLimit": '"track";r=2;t=3600'}
        reply = Reply(body={"results": [{"success": True}], "success": True}, headers=fields)
        fake = self.fake([reply])
        client = self.client(fake.url)
        waits: List[float] = []
        client._pause = lambda seconds: self.pass_time(client, seconds, waits)  # type: ignore[method-assign]
        self.track(client, [1])
        self.delivered(client, 1)
        self.track(client, [2])
        self.delivered(client, 2)
        self.assertTrue(1800 - PATIENCE < max(waits) <= 1980, waits)  # the same

    def pass_time(self, client: Client, seconds: float, waits: List[float]) -> bool:
        """Notes a wait, and makes the servers believe that it has passed."""
        waits.append(seconds)
        for server in client._fleet._servers:
            server.until -= seconds
            server.pace.until -= seconds
        return True

    def test_a_slow_answer_is_given_up(self) -> None:
        hold, came, given_up = threading.Event(), threading.Event(), threading.Event()
        self.addCleanup(hold.set)

        def answer(request: Request) -> Reply:
            came.set()
            return ok(request) if given_up.is_set() else Reply(200, hold=hold)

        fake = self.fake(answer)
        client = self.impatient(fake.url, 0.5, came, given_up)
        self.track(client, [1])
        self.delivered(client, 1)
        self.assertTrue(given_up.is_set())

    def impatient(
        self, url: str, timeout: float, begun: threading.Event, given_up: threading.Event
    ) -> Client:
        """Returns a client that has given up an answer that has begun. Then it
        waits for long, because this machine may be slow.
        """

        def trouble(error: Exception) -> None:
            if str(error) == f"no answer within {timeout:g} s" and begun.is_set():
                client._timeout = PATIENCE
                given_up.set()

        client = self.client(url, timeout=timeout, on_trouble=trouble)
        return client

    def test_an_answer_that_drips_is_given_up(self) -> None:
        dripped, given_up, ended = threading.Event(), threading.Event(), threading.Event()

        def drip(request: Request) -> Reply:
            return ok(request) if given_up.is_set() else Reply(200, b" " * (1 << 20))

        fake = self.fake(drip)
        from . import support

        whole = support.send

        def slowly(handler: Any, reply: Reply) -> None:
            if len(reply.body) < 1 << 20:
                return whole(handler, reply)
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            for n in itertools.count():  # each byte comes in time, all of them do not
                if ended.wait(0.01):
                    return
                handler.wfile.write(b" ")
                if n == 10:  # a client that was gone would have made it fail
                    dripped.set()

        self.addCleanup(ended.set)
        with mock.patch.object(support, "send", slowly):
            client = self.impatient(fake.url, 1, dripped, given_up)
            self.track(client, [1])
            self.delivered(client, 1)
        self.assertTrue(given_up.is_set())

    def test_close_does_not_wait_for_an_answer(self) -> None:
        hold = threading.Event()
        self.addCleanup(hold.set)
        fake = self.fake(lambda request: Reply(200, hold=hold))
        client = self.client(fake.url, on_trouble=lambda trouble: self.fail(str(trouble)))
        self.track(client, [1])
        fake.await_requests(1)
        sender = client._sender
        with self.assertNoLogs("trackway") if hasattr(self, "assertNoLogs") else contextlib.nullcontext():
            report = client.close(0)
        self.assertEqual((report.delivered, report.pending, report.failed), (0, 1, 0))
        self.ended(sender)
        self.assertEqual(client.close(0), report)

    def test_a_connection_that_was_closed_is_no_failure(self) -> None:
        fake = self.fake(
            lambda request: (
                Reply(200, ok(request).body, {"Connection": "close"})
                if len(fake.requests) == 1
                else ok(request)
            )
        )
        client = self.client(fake.url)
        for n in range(3):
            self.track(client, [n])
            self.delivered(client, n + 1)
        self.assertEqual((client.report.failed, fake.connections), (0, 2))

    def test_a_connection_that_ended_meanwhile_is_no_failure(self) -> None:
        fake = self.fake([Reply(200, {"results": [{"success": True}]}, ends=True)])
        client = self.client(fake.url)
        self.track(client, [1])
        self.delivered(client, 1)
        connection = client._transport._connection
        assert connection is not None
        self.assertTrue(select.select([connection.sock], [], [], PATIENCE)[0])
        self.track(client, [2])
        self.delivered(client, 2)
        self.assertEqual((client.report.failed, fake.connections), (0, 2))

    def test_warnings_hold_no_secrets(self) -> None:
        body = {"success": False, "error": f"Access key not found: {KEY}, jane@example.com"}
        fake = self.fake(
            [
                Reply(401, body),
                Reply(401, body),
                Reply(400, {"success": False, "message": "jane@example.com"}),
            ]
        )
        client = self.client(fake.url, on_trouble=None, on_reject=None, flush_interval=PATIENCE)
        with self.assertLogs("trackway", logging.WARNING) as logs:
            self.track(client, [1])
            self.assertEqual(client.flush(PATIENCE).rejected, 1)
        said = [record.getMessage() for record in logs.records]
        self.assertEqual(
            said, ["commands are kept: the server answers 401", "a command will not be delivered: refused"]
        )
        self.assertNotIn(KEY, repr(client))

    def test_threads(self) -> None:
        fake = self.fake(lambda request: ok(request) if len(fake.requests) % 3 else Reply(503))
        client = self.client(fake.url)
        threads = [
            threading.Thread(target=self.track, args=(client, range(i * 100, i * 100 + 100)))
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.delivered(client, 800)
        self.assertEqual(sorted(set(fake.numbers)), list(range(800)))

    def test_a_mistake_of_ours_does_not_end_the_sender(self) -> None:
        fake, told = self.fake(), []
        client = self.client(fake.url, on_trouble=lambda e: told.append(str(e)))
        whole, calls = client._deliver, []

        def deliver(batch: List[bytes]) -> bool:
            calls.append(1)
            if len(calls) == 1:
                raise KeyError("bug")
            return whole(batch)

        client._deliver = deliver  # type: ignore[method-assign]
        self.track(client, range(3))
        self.delivered(client, 3)
        self.assertEqual((fake.numbers, told), ([0, 1, 2], ["'bug'"]))

    def test_no_thread_can_be_started(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, on_trouble=lambda _: None)
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if thread.name == "trackway":
                raise RuntimeError("can't start new thread")
            start(thread)

        with mock.patch("threading.Thread.start", refuse):
            self.track(client, range(3))
            self.assertEqual(client.flush(0).pending, 3)
            self.assertEqual(client.close(PATIENCE).delivered, 3)


class Servers(Case):
    """Which server is asked."""

    def test_failover(self) -> None:
        good = self.fake()
        bad = self.fake(lambda request: Reply(503, headers={"Retry-After": "3600"}))
        client = self.client(servers=[bad.url, bad.url + "/", good.url])
        with mock.patch("random.choice", lambda found: found[0]), mock.patch("random.random", lambda: 0.5):
            self.track(client, [1])
            self.delivered(client, 1)
            self.assertEqual(client.server, good.url)
            with client._fleet._lock:
                for server in client._fleet._servers:
                    server.until = 0  # the bad one may be asked again
            for n in range(2, 5):  # and yet it stays there
                self.track(client, [n])
                self.delivered(client, n)
        self.assertEqual(len(bad.requests), 1)

    def test_what_is_known_of_others_ends_with_the_server(self) -> None:
        one, two = "http://one", "http://two"
        fleet = _servers.Fleet([one, two], False, "", "", 30)
        for url in (one, two, one):
            fleet.moved(url)
            server, _ = fleet.next(0)
            assert server is not None
            self.assertEqual((server.url, server.pace.cost), (url, 1))
            server.pace.cost = 40

    def test_the_list(self) -> None:
        listing: Dict[str, Any] = {"servers": []}

        def answer(request: Request) -> Reply:
            return Reply(body=listing) if request.path == "/api/servers" else ok(request)

        asked, named = self.fake(answer), self.fake()
        listing["servers"] = [{"name": "ts1", "url": ""}, {"name": "ts2", "region": "eu", "url": named.url}]
        for options in ({"server": "ts2"}, {"region": "eu"}):
            with mock.patch.object(_client, "_PATIENCE", PATIENCE):
                client = self.client(servers=asked.url, **options)
                self.track(client, [1])
                self.delivered(client, 1)
            self.assertEqual(client.server, named.url)
        self.assertEqual([request.path for request in asked.requests], ["/api/servers"] * 2)
        self.assertNotIn("Authorization", asked.requests[0].headers)

    def test_a_redirect(self) -> None:
        target = self.fake()
        first = self.fake(lambda request: Reply(307, headers={"Location": target.url + request.path}))
        client = self.client(first.url)
        self.track(client, [1])
        self.delivered(client, 1)
        self.track(client, [2])
        self.delivered(client, 2)
        self.assertEqual((len(first.requests), client.server), (1, target.url))
        client = self.client(first.url)
        self.assertEqual(client.time(PATIENCE), 1.5)
        self.assertEqual((len(first.requests), client.server), (2, target.url))

    def test_a_redirect_to_itself(self) -> None:
        fake = self.fake(
            lambda request: (
                Reply(302, headers={"Location": request.path}) if len(fake.requests) < 9 else ok(request)
            )
        )
        client = self.client(fake.url)
        self.track(client, [1])
        self.delivered(client, 1)
        self.assertEqual(client.report.failed, 1)

    def test_time(self) -> None:
        fake = self.fake(
            [
                Reply(body={"time": 12.25}),
                Reply(401, {"error": "Access key not found"}),
                Reply(0),
                Reply(200, "x"),
            ]
        )
        client = self.client(fake.url)
        self.assertEqual(client.time(PATIENCE), 12.25)
        self.assertEqual(fake.requests[0].path, f"/track/v2/projects/{PROJECT}/system/time")
        with self.assertRaises(AnswerError) as raised:
            client.time(PATIENCE)
        self.assertEqual((raised.exception.status, raised.exception.reason), (401, "Access key not found"))
        with self.assertRaises(ConnectionError):
            client.time(PATIENCE)
        with self.assertRaises(AnswerError):
            client.time(PATIENCE)

    def test_time_waits_for_its_turn(self) -> None:
        fake = self.fake([Reply(429, headers={"Retry-After": "3600"})])
        client = self.client(fake.url)
        with self.assertRaises(AnswerError):
            client.time(PATIENCE)
        with self.assertRaises(TimeoutError):
            client.time(PATIENCE)
        self.assertEqual(len(fake.requests), 1)


class Positions(Case):
    """Reads in a cluster: the client sends the position that it knows along."""

    def reader(self, servers: List[str]) -> Client:
        return self.client(servers=servers, key_id="id", secret="secret")

    def test_a_write_at_one_server_and_a_read_at_another(self) -> None:
        at = {HEADER: "0.7"}
        dead: List[str] = []

        def answer(request: Request) -> Reply:
            if request.headers["Host"] in dead:
                return Reply(0)
            if request.path.endswith("/batch"):
                reply = ok(request)
                reply.headers = at
                return reply
            return Reply(body={"sent": request.headers[HEADER]}, headers={HEADER: "0.8"})

        first, second = self.fake(answer), self.fake(answer)
        client = self.reader([first.url, second.url])
        self.assertEqual(client.position, "")
        self.track(client, [1])
        self.assertEqual((client.flush(PATIENCE).pending, client.position), (0, "0.7"))
        dead.append(client.server[len("http://") :])
        self.assertEqual(client.read("customers/events", {"customer_ids": {}}, PATIENCE), {"sent": "0.7"})
        self.assertEqual(client.position, "0.8")
        self.assertNotIn(client.server[len("http://") :], dead)

    def test_a_position_of_another_cluster(self) -> None:
        def answer(request: Request) -> Reply:
            if request.headers[HEADER] in (None, "0.5"):
                return Reply(body={"n": 1}, headers={HEADER: "0.5"})
            return Reply(400, {"success": False, "errors": {HEADER: ["No."]}}, {HEADER: "0.5"})

        fake = self.fake(answer)
        client = self.reader([fake.url])
        with self.assertRaises(ValueError):
            client.after("soon")
        for position in ("0.900", "", "0.40"):
            client.after(position)
        for _ in range(2):
            self.assertEqual(client.read("customers/events", {}, PATIENCE), {"n": 1})
        self.assertEqual([request.headers[HEADER] for request in fake.requests], ["0.900", None, "0.5"])
        self.assertEqual(fake.connections, 1)

    def test_a_question_that_is_refused(self) -> None:
        fake = self.fake(lambda _: Reply(400, {"success": False, "errors": {HEADER: ["No."]}}))
        client = self.reader([fake.url])
        client.after("0.900")
        with self.assertRaises(AnswerError) as raised:
            client.read("customers/events", {}, PATIENCE)
        self.assertEqual((raised.exception.status, raised.exception.reason, len(fake.requests)), (400, "No.", 2))

    def test_nobody_answers(self) -> None:
        hold = threading.Event()
        self.addCleanup(hold.set)

        def answer(request: Request) -> Reply:
            reply = Reply(503, {"message": "Try again."}, {"Retry-After": "0"})
            reply.hold = hold if len(fake.requests) > 1 else None
            return reply

        fake = self.fake(answer)
        client = self.reader([fake.url])
        exchange, clock = Transport.exchange, mock.Mock(wraps=time)
        lefts: List[float] = []

        def cut_short(transport: Transport, method: str, url: str, *rest: Any) -> Answer:
            headers, body, left, most = rest
            lefts.append(left)
            if len(lefts) == 1:
                return exchange(transport, method, url, headers, body, left, most)
            answer = exchange(transport, method, url, headers, body, 0.1, most)
            clock.monotonic.return_value = time.monotonic() + PATIENCE  # the end of the call has come
            return answer

        with mock.patch.object(Transport, "exchange", cut_short), mock.patch.object(_client, "time", clock):
            with self.assertRaisesRegex(TimeoutError, r"Try again\."):  # and not how long the last request had
                client.read("customers/events", {}, PATIENCE)
        self.assertEqual(len(lefts), 2)
        hold.set()
        client.close(PATIENCE)
        with self.assertRaises(TimeoutError):
            client.read("customers/events", {}, PATIENCE)


class Transports(Case):
    """TLS, and the proxy of the environment."""

    def test_tls(self) -> None:
        if shutil.which("openssl") is None:
            self.skipTest("a certificate needs openssl")
        folder = self.folder()
        cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *name,
            "-keyout",
            key,
            "-out",
            cert,
        ]
        subprocess.run(make, check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        hold = threading.Event()
        self.addCleanup(hold.set)
        hang: List[bool] = []

        def answer(request: Request) -> Reply:
            reply = ok(request)
            reply.hold = hold if hang else None
            return reply

        fake = self.fake(answer, context)
        url = fake.url.replace("http://127.0.0.1", "https://localhost")
        stranger = self.client(url)  # who does not know the authority
        self.track(stranger, [0])
        with self.assertRaises(ConnectionError) as raised:
            stranger.time(PATIENCE)
        self.assertIn("certificate verify failed", str(raised.exception))
        self.assertEqual(stranger.close(0).delivered, 0)
        client = self.client(url, ssl_context=ssl.create_default_context(cafile=cert))
        for n in range(1, 4):
            self.track(client, [n])
            self.delivered(client, n)
        self.assertEqual((fake.numbers, client.report.failed), ([1, 2, 3], 0))
        hang.append(True)
        self.track(client, [4])
        fake.await_requests(4)
        sender = client._sender
        self.assertEqual(client.close(0).pending, 1)
        self.ended(sender)

    def test_http(self) -> None:
        fake = self.fake()
        host = fake.url[len("http://") :]
        with mock.patch.dict(
            "os.environ", {"http_proxy": f"http://user:pass@{host}", "no_proxy": "", "REQUEST_METHOD": ""}
        ):
            client = self.client("http://track.example.com")
            self.track(client, [1])
            self.delivered(client, 1)
        self.assertEqual(fake.requests[0].path, f"http://track.example.com/track/v2/projects/{PROJECT}/batch")
        self.assertEqual(fake.requests[0].headers["Proxy-Authorization"], "Basic dXNlcjpwYXNz")
        self.assertEqual(fake.requests[0].headers["Host"], "track.example.com")


if __name__ == "__main__":
    unittest.main()
