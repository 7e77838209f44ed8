"""Forks, the end of the program, and event loops."""

from __future__ import annotations

import asyncio
import functools
import http.client
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import unittest
from typing import Any, Callable, List
from unittest import mock

from trackway import Client

from .support import JANE, KEY, PATIENCE, PROJECT, ROOT, Case, Reply, Request, ok


def in_child(run: Callable[[], object]) -> int:
    """Runs a function in a forked process, and returns its process number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def deliver(client: Client, n: int) -> None:
    """Delivers an event of a child, which has nothing of its parent to send."""
    assert client.report.pending == 0, client.report
    assert client.track("step", {"n": n}, ids=JANE)
    report = client.flush(PATIENCE)
    assert (report.delivered, report.pending) == (1, 0), report


@unittest.skipUnless(hasattr(os, "fork"), "the system has no fork")
class Forks(Case):
    def await_child(self, pid: int) -> None:
        self.assertEqual(self.status_of(pid), 0)

    def status_of(self, pid: int) -> int:
        """Waits for the end of a child, and returns how it ended."""
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.fail("the child does not end")

    def test_the_child_starts_with_an_empty_queue(self) -> None:
        hold = threading.Event()
        self.addCleanup(hold.set)
        held: List[int] = []

        def answer(request: Request) -> Reply:
            reply = ok(request)
            if not held:
                held.append(1)
                reply.hold = hold
            return reply

        fake = self.fake(answer)
        client = self.client(fake.url)
        self.track(client, [0])
        fake.await_requests(1)  # its answer comes after the fork
        self.track(client, [1, 2])

        self.await_child(in_child(lambda: deliver(client, 10)))
        hold.set()
        self.delivered(client, 3)
        self.assertEqual(fake.numbers, [0, 10, 1, 2])

    def test_a_fork_while_others_track(self) -> None:
        fake = self.fake()
        client = self.client(fake.url)
        stop = threading.Event()
        tracked: List[int] = []

        def track() -> None:
            while not stop.is_set():
                if client.report.pending > 500:  # or a slow machine would need long to send all
                    stop.wait(0.001)
                    continue
                self.assertTrue(client.track("step", {"n": len(tracked)}, ids={"registered": "parent"}))
                tracked.append(1)

        thread = threading.Thread(target=track)
        thread.start()

        def child() -> None:
            for n in range(20):
                assert client.track("step", {"n": n}, ids={"registered": str(os.getpid())})
            report = client.close(PATIENCE)
            assert report.delivered == 20, report

        pids = [in_child(child) for _ in range(5)]
        for pid in pids:
            self.await_child(pid)
        stop.set()
        thread.join()
        self.delivered(client, len(tracked))
        whose = [command["data"]["customer_ids"]["registered"] for command in fake.commands]
        self.assertEqual(
            {who: whose.count(who) for who in set(whose)},
            {"parent": len(tracked), **{str(pid): 20 for pid in pids}},
        )

    def test_a_fork_while_an_answer_is_read(self) -> None:
        rest, reading = threading.Event(), threading.Event()
        self.addCleanup(rest.set)

        def answer(request: Request) -> Reply:
            reply = ok(request)
            reply.rest = rest if len(fake.requests) == 1 else None
            return reply

        read = http.client.HTTPResponse.read

        def noted(response: http.client.HTTPResponse, *most: int) -> bytes:
            reading.set()
            return read(response, *most)

        fake = self.fake(answer)
        client = self.client(fake.url)
        with mock.patch.object(http.client.HTTPResponse, "read", noted):
            self.track(client, [0])
            self.wait_for(reading)
        time.sleep(0.1)  # by now it waits for the rest; if not, this shows less

        self.await_child(in_child(lambda: deliver(client, 1)))
        rest.set()
        self.delivered(client, 1)
        self.assertEqual((fake.numbers, client.report.failed), ([0, 1], 0))

    def test_the_child_has_a_journal_of_its_own(self) -> None:
        folder = self.folder()
        down, up = self.fake(lambda request: Reply(503)), self.fake()
        client = self.client(down.url, directory=folder, flush_interval=PATIENCE)
        self.track(client, [0])

        def child() -> None:
            assert client.track("step", {"n": 1}, ids=JANE)
            assert client.report.kept
            os.kill(os.getpid(), signal.SIGKILL)

        pid = in_child(child)
        self.assertEqual(self.status_of(pid), signal.SIGKILL)
        heir = self.client(up.url, directory=folder)
        self.delivered(heir, 1)  # the child's; the parent still holds its own
        client.close(0)
        heir = self.client(up.url, directory=folder)
        self.delivered(heir, 1)
        self.assertEqual(up.numbers, [1, 0])

    def test_the_child_does_not_hold_the_journal_of_its_parent(self) -> None:
        folder = self.folder()
        up = self.fake()
        client = self.client(
            self.fake(lambda request: Reply(503)).url, directory=folder, flush_interval=PATIENCE
        )
        self.track(client, [0])
        child_reads, writes = os.pipe()
        reads, child_writes = os.pipe()

        def child() -> None:
            os.write(child_writes, b"!")
            os.read(child_reads, 1)

        pid = in_child(child)
        os.read(reads, 1)  # it runs, and lives until it is told to end
        self.assertEqual(client.close(0).pending, 1)
        heir = self.client(up.url, directory=folder)
        self.delivered(heir, 1)
        os.write(writes, b"!")
        self.await_child(pid)
        for fd in (child_reads, writes, reads, child_writes):
            os.close(fd)

    def test_the_children_of_multiprocessing(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, flush_interval=PATIENCE, exit_timeout=PATIENCE)
        self.track(client, [0])
        context: Any = multiprocessing.get_context("fork")
        process = context.Process(target=self.track, args=(client, [1]))  # it does not flush
        process.start()
        process.join(2 * PATIENCE)
        self.assertEqual(process.exitcode, 0)
        self.assertEqual(fake.numbers, [1])
        self.delivered(client, 1)


class Exits(Case):
    def run_program(self, program: str, url: str) -> str:
        code = f"""
import os, threading, trackway
def client(**options):
    options = {{"exit_timeout": {PATIENCE}, **options}}
    return trackway.Client({url!r}, project={PROJECT!r}, key={KEY!r}, flush_interval=3600, **options)
ids = {JANE!r}
{textwrap.dedent(program)}
"""
        env = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env=env,
            timeout=2 * PATIENCE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stderr

    def test_the_queue_is_delivered_at_the_end(self) -> None:
        fake = self.fake()
        self.run_program('client().track("step", {"n": 1}, ids=ids)', fake.url)
        self.assertEqual(fake.numbers, [1])

    def test_what_other_functions_track_at_the_end(self) -> None:
        fake = self.fake()
        self.run_program(
            'import atexit\natexit.register(lambda c=client(): c.track("step", {"n": 1}, ids=ids))', fake.url
        )
        self.assertEqual(fake.numbers, [1])

    def test_the_end_is_bounded(self) -> None:
        fake = self.fake(lambda request: Reply(503))
        program = """
            import logging
            warned = threading.Event()
            class Handler(logging.StreamHandler):
                def emit(self, record):
                    super().emit(record)
                    warned.set()
            logging.getLogger("trackway").addHandler(Handler())
            for n in range(2):
                c = client(exit_timeout=1.5, max_delay=60)
                c.track("step", {"n": n}, ids=ids)
                c.flush(0)
                assert warned.wait(60)
                warned.clear()
        """
        said = self.run_program(program, fake.url)
        self.assertIn("commands are kept: the server answers 503", said)

    def test_a_child_that_ends_normally(self) -> None:
        fake = self.fake()
        program = """
            c = client()
            c.track("step", {"n": 0}, ids=ids)
            if os.fork() == 0:
                c.track("step", {"n": 1}, ids=ids)
            else:
                os.wait()
        """
        self.run_program(program, fake.url)
        self.assertEqual(fake.numbers, [1, 0])


class Loops(Case):
    def test_the_loop_is_not_blocked(self) -> None:
        hold = threading.Event()
        self.addCleanup(hold.set)

        def answer(request: Request) -> Reply:
            reply = ok(request)
            reply.hold = hold
            return reply

        fake = self.fake(answer)

        async def program() -> None:
            async with self.client(fake.url) as client:
                self.assertTrue(client.track("step", {"n": 0}, ids=JANE))
                flush = asyncio.ensure_future(client.aflush(PATIENCE))
                await asyncio.to_thread(fake.await_requests, 1)
                self.assertTrue(await client.atrack("step", {"n": 1}, ids=JANE))
                self.assertTrue(await client.aupdate({"n": 2}, ids=JANE))
                self.assertTrue(await client.aidentify("jane", {"n": 3}))
                self.assertFalse(flush.done())  # and yet the loop is here
                hold.set()
                await flush
                self.assertEqual(await client.atime(PATIENCE), 1.5)
                report = await client.aclose(PATIENCE)
                self.assertEqual((report.delivered, report.pending), (4, 0))

        asyncio.run(program())
        self.assertEqual(fake.numbers, [0, 1, 2, 3])

    def test_with(self) -> None:
        fake = self.fake()
        client = self.client(fake.url, flush_interval=PATIENCE)
        with mock.patch.object(client, "close", functools.partial(client.close, PATIENCE)):
            with client as entered:
                self.track(client, [1])
        self.assertEqual(fake.numbers, [1])
        self.assertIs(entered, client)


if __name__ == "__main__":
    unittest.main()
