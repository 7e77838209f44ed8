"""The queue in a directory."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import unittest
from pathlib import Path
from typing import Any, List
from unittest import mock

from trackway import _journal, _queue

from .support import JANE, KEY, PATIENCE, PROJECT, ROOT, Case, Reply


def files(folder: str) -> List[Path]:
    return sorted(Path(folder).iterdir())


class Disk(Case):
    def setUp(self) -> None:
        self.dir = os.path.join(self.folder(), "queue")
        self.down = self.fake(lambda request: Reply(503))
        self.up = self.fake()

    def test_the_next_client_sends_what_is_left(self) -> None:
        for start in (0, 60):  # two clients after each other, both without success
            client = self.client(self.down.url, directory=self.dir, flush_interval=PATIENCE)
            self.track(client, range(start, start + 60))
            report = client.close(0)
            self.assertEqual((report.pending, report.kept), (start + 60, True))
        self.assertEqual(len(files(self.dir)), 1)
        self.assertEqual(stat.S_IMODE(os.stat(self.dir).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(files(self.dir)[0].stat().st_mode), 0o600)
        client = self.client(self.up.url, directory=self.dir)
        self.delivered(client, 120)
        self.assertEqual(self.up.numbers, list(range(120)))
        self.assertTrue(client.close(PATIENCE).kept)
        self.assertEqual(files(self.dir), [])

    def test_what_is_settled_is_not_sent_again(self) -> None:
        client = self.client(self.up.url, directory=self.dir, batch_size=10)
        self.track(client, range(10))
        self.delivered(client, 10)
        client._pause = lambda seconds: False  # type: ignore[method-assign]
        client._fleet._servers[0].until = float("inf")
        self.track(client, range(10, 15))
        self.assertEqual(client.close(0).pending, 5)
        client = self.client(self.up.url, directory=self.dir)
        self.delivered(client, 5)
        self.assertEqual(self.up.numbers, list(range(15)))

    def test_the_end_of_the_process_loses_nothing(self) -> None:
        code = f"""
import os, signal, trackway
client = trackway.Client({self.down.url!r}, project={PROJECT!r}, key={KEY!r}, directory={self.dir!r}, on_trouble=lambda _: None)
for n in range(100):
    client.track("step", {{"n": n}}, ids={JANE!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
            timeout=PATIENCE,
        )
        self.assertEqual(run.returncode, -9)
        client = self.client(self.up.url, directory=self.dir)
        self.delivered(client, 100)
        self.assertEqual(self.up.numbers, list(range(100)))

    def test_clients_share_a_directory(self) -> None:
        one = self.client(self.down.url, directory=self.dir)
        self.track(one, [1])
        two = self.client(self.up.url, directory=self.dir)
        self.track(two, [2])
        self.delivered(two, 1)
        self.assertEqual(self.up.numbers, [2])  # the first client's are its own
        self.assertEqual(len(files(self.dir)), 2)

    def test_damage_costs_only_what_is_damaged(self) -> None:
        client = self.client(self.down.url, directory=self.dir, flush_interval=PATIENCE)
        self.track(client, range(5))
        client.close(0)
        file = files(self.dir)[0]
        lines = file.read_bytes().split(b"\n")
        lines[2] = lines[2].replace(b"step", b"stop")
        file.write_bytes(b"\n".join(lines) + b"12345678 6 {unfinished")
        told: List[Exception] = []
        client = self.client(self.up.url, directory=self.dir, on_trouble=told.append)
        self.delivered(client, 4)
        self.assertEqual(self.up.numbers, [0, 1, 3, 4])
        self.assertIn("Commands that were lost: 1.", str(told[0]))

    def test_a_full_disk(self) -> None:
        told: List[Exception] = []
        full = threading.Event()

        def trouble(error: Exception) -> None:
            told.append(error)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                full.set()

        client = self.client(self.down.url, directory=self.dir, on_trouble=trouble)
        self.track(client, [0])
        with mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            self.track(client, [1, 2])
        self.wait_for(full)  # the thread that sends may be the one that tells
        self.assertFalse(client.report.kept)
        self.assertEqual([e.errno for e in told if isinstance(e, OSError) and e.errno], [errno.ENOSPC])
        report = client.close(0)  # there is room again
        self.assertEqual((report.pending, report.kept), (3, True))
        client = self.client(self.up.url, directory=self.dir)
        self.delivered(client, 3)
        self.assertEqual(self.up.numbers, [0, 1, 2])

    def test_a_full_disk_that_stays_full(self) -> None:
        client = self.client(self.up.url, directory=self.dir)
        self.track(client, [0])
        self.delivered(client, 1)
        with mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            self.track(client, [1, 2])
            self.delivered(client, 3)
            self.assertEqual(files(self.dir), [])  # what was delivered takes no room
            self.track(client, [3])
            self.delivered(client, 4)
        self.track(client, [4])
        self.assertTrue(client.report.kept)
        self.delivered(client, 5)
        self.assertEqual(self.up.numbers, list(range(5)))

    def test_a_child_that_can_begin_no_journal_tries_once(self) -> None:
        told: List[Exception] = []
        client = self.client(self.up.url, directory=self.dir, on_trouble=told.append, flush_interval=PATIENCE)
        client._forked()
        with mock.patch.object(
            _journal.Journal, "create", side_effect=OSError(errno.EMFILE, "too many files")
        ):
            self.track(client, range(3))
        self.assertEqual((len(told), client.report.kept), (1, False))
        self.delivered(client, 3)
        self.track(client, [3])
        self.assertTrue(client.report.kept)

    def test_files_that_cannot_be_locked(self) -> None:
        with mock.patch.object(_journal, "_lock", side_effect=OSError(errno.ENOLCK, "No locks available")):
            with self.assertRaises(OSError):
                self.client(self.up.url, directory=self.dir)
        self.assertEqual(files(self.dir), [])

    def test_a_file_that_is_gone_is_not_owned(self) -> None:
        path = Path(self.folder()) / "file"
        with path.open("wb") as file:
            path.unlink()
            self.assertFalse(_journal._owned(file.fileno(), str(path)))  # another process has removed it
            path.write_text("")
            self.assertFalse(_journal._owned(file.fileno(), str(path)))

    def test_sync(self) -> None:
        synced: List[int] = []
        client = self.client(self.up.url, directory=self.dir, sync=True)
        with mock.patch("os.fsync", synced.append):
            self.track(client, range(3))
            self.delivered(client, 3)
        self.assertEqual(len(synced), 3)

    def test_a_directory_that_cannot_be_used(self) -> None:
        path = os.path.join(self.folder(), "file")
        Path(path).write_text("")
        with self.assertRaises(OSError):
            self.client(self.up.url, directory=path)

    def test_a_journal_stays_small(self) -> None:
        queue = _queue.Queue(self.dir, False, self.fail)
        self.addCleanup(queue.close)
        queue.open()
        with mock.patch.object(_queue, "_SLACK", 10_000):
            for round in range(300):
                for _ in range(3):
                    queue.push(b'{"n":"%s"}' % (b"x" * 100))
                queue.take(2)
                queue.settle()
                if round % 2:
                    queue.take(2)
                    queue.settle()
                size = sum(file.stat().st_size for file in files(self.dir))
                self.assertLess(size, 2 * 1.5 * queue.size + 12_000)
        left = len(queue)
        queue.close()
        with _journal.adopt(self.dir) as (commands, damaged):
            self.assertEqual((len(commands), damaged), (left, 0))

    def test_dropped_commands_do_not_come_back(self) -> None:
        queue = _queue.Queue(self.dir, False, self.fail)
        queue.open()
        for n in range(6):
            queue.push(b'{"n":%d}' % n)
        self.assertEqual(queue.drop(), b'{"n":0}')
        self.assertEqual(queue.take(2), [b'{"n":1}', b'{"n":2}'])
        self.assertEqual(queue.drop(), b'{"n":3}')
        queue.untake()
        self.assertEqual(queue.take(1), [b'{"n":1}'])
        queue.settle()
        queue.close()
        with _journal.adopt(self.dir) as (commands, _):
            self.assertEqual(
                commands, [b'{"n":%d}' % n for n in (2, 3, 4, 5)]
            )  # 3 may: it is behind one that waits

    @unittest.skipIf(sys.platform == "win32", "Windows removes no open file")
    def test_a_journal_that_goes_is_not_taken_over(self) -> None:
        os.makedirs(self.dir)
        journal = _journal.Journal.create(self.dir, False, [(1, b"{}")])
        unlink = os.unlink

        def late(path: str) -> None:
            self.assertIsNone(_journal._claim(path))
            unlink(path)

        with mock.patch.object(os, "unlink", late):
            journal.remove()
        self.assertEqual(files(self.dir), [])

    def test_many_processes_start_at_once(self) -> None:
        client = self.client(self.down.url, directory=self.dir, flush_interval=PATIENCE)
        self.track(client, range(40))
        client.close(0)
        got: List[Any] = []
        ready = threading.Barrier(8)

        def start() -> None:
            ready.wait(PATIENCE)
            queue = _queue.Queue(self.dir, False, self.fail)
            queue.open()
            got.append(queue)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(len(queue) for queue in got), [0] * 7 + [40])
        for queue in got:
            queue.close()


if __name__ == "__main__":
    unittest.main()
