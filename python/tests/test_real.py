"""The client against the real server."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import unittest
from typing import List

from trackway import AnswerError, Rejection

from .support import FATES, JANE, KEY, KEY_ID, PATIENCE, PROJECT, ROOT, SECRET, RealCase, proxy

EACH = 150
"""Events of a client, in the chaos."""


class Real(RealCase):
    def test_success(self) -> None:
        real = self.real()
        client = self.client(real.url)
        self.assertLess(abs(client.time(PATIENCE) - time.time()), 2 * PATIENCE)
        client.identify({"registered": "jane", "cookie": ["c-1", "c-2"]}, {"plan": "pro"})
        for _ in range(2):  # equal, but two
            client.track("purchase", {"total": 7.99, "text": "é" * 2000}, ids={"registered": "jane"})
        client.track("old", ids={"registered": "jane"}, timestamp=1.5)
        self.delivered(client, 4)
        jane = real.customer({"cookie": "c-2"})
        self.assertEqual((jane["ids"]["registered"], jane["properties"]["plan"]), ("jane", "pro"))
        self.assertEqual([e["type"] for e in jane["events"]], ["old", "purchase", "purchase"])
        self.assertEqual(
            (jane["events"][0]["timestamp"], jane["events"][1]["properties"]["total"]), (1.5, 7.99)
        )

    def test_a_private_key(self) -> None:
        real = self.real()
        client = self.client(real.url, key_id=KEY_ID, secret=SECRET)
        self.track(client, [1])
        self.delivered(client, 1)
        self.assertEqual(real.numbers(), [1])

    def test_partial_failure(self) -> None:
        real = self.real()
        told: List[Rejection] = []
        client = self.client(real.url, flush_interval=PATIENCE, on_reject=told.append)
        self.track(client, [0])
        client.track("step", {"n": 1}, ids={"no_such_identifier": "x"})
        self.track(client, [2])
        report = client.flush(PATIENCE)
        self.assertEqual((report.delivered, report.rejected, report.requests), (2, 1, 1))
        self.assertEqual([(r.code, r.command["data"]["properties"]) for r in told], [("refused", {"n": 1})])
        self.assertIn("no_such_identifier", told[0].reason)
        self.assertEqual(real.numbers(), [0, 2])

    def test_a_wrong_key_costs_nothing(self) -> None:
        real = self.real()
        denied = threading.Event()
        folder = self.folder()
        for n, options in enumerate([{"key": "wrong"}, {"project": "00000000-0000-0000-0000-000000000000"}]):
            client = self.client(real.url, directory=folder, on_trouble=lambda _: denied.set(), **options)
            self.track(client, [n])
            self.wait_for(denied)
            with self.assertRaises(AnswerError):
                client.time(PATIENCE)
            report = client.close(0)
            self.assertEqual((report.pending, report.kept), (n + 1, True))
            self.assertGreater(report.denied, 0)
            denied.clear()
        client = self.client(real.url, directory=folder)
        self.delivered(client, 2)
        self.assertEqual(real.numbers(), [0, 1])

    def test_limits_are_kept_to(self) -> None:
        real = self.real(limit=20, window="1s")
        client = self.client(real.url, batch_size=1)
        self.track(client, range(50))
        self.delivered(client, 50)
        self.assertEqual((client.report.requests, client.report.limited), (50, 0))
        self.assertEqual(real.numbers(), list(range(50)))

    def test_429(self) -> None:
        real = self.real(limit=1, window="1s")
        client = self.client(real.url)
        count = 0
        while client.report.limited == 0:  # at first, if the window does not end in between
            while real.ask("GET", f"/track/v2/projects/{PROJECT}/system/time")[0] != 429:
                pass
            self.track(client, [count])
            count += 1
            self.delivered(client, count)
        self.assertEqual(real.numbers(), list(range(count)))

    def test_a_restart_in_between(self) -> None:
        real = self.real()
        client = self.client(real.url)
        down = threading.Event()
        client._on_trouble = lambda _: down.set()
        self.track(client, range(100))
        self.delivered(client, 100)
        real.kill()
        self.track(client, range(100, 200))
        self.wait_for(down)
        self.track(client, range(200, 300))
        real.start()
        self.delivered(client, 300)
        self.assertEqual(real.numbers(), list(range(300)))

    def test_kills_while_it_sends(self) -> None:
        real = self.real()
        client = self.client(real.url, batch_size=5)
        for kill in range(3):
            self.track(client, range(kill * 200, kill * 200 + 200))
            client.flush(0)
            real.kill()  # with a request under way, or not
            real.start()
        self.delivered(client, 600)
        self.assertEqual(real.numbers(), list(range(600)))


class Chaos(RealCase):
    def test_every_event_once_and_in_order(self) -> None:
        real = self.real()
        with proxy(real) as (url, fates):
            self.run_clients(url)
        self.assertEqual(set(fates), set(FATES))
        for who in range(4):
            self.assertEqual(real.numbers({"registered": f"chaos-{who}"}), list(range(EACH)))

    def run_clients(self, url: str) -> None:
        def run(who: int) -> None:
            folder = self.folder() if who % 2 else None
            ids = {"registered": f"chaos-{who}"}
            client = self.client(url, directory=folder, batch_size=2 + who * 7)
            for n in range(EACH):
                self.assertTrue(client.track("step", {"n": n}, ids=ids))
                if n % 20 == 0:
                    client.flush(0)  # so that there are requests enough for every fate
                if folder and n % 50 == 49:  # it ends before all is sent, and the next one goes on
                    client.close(0)
                    client = self.client(url, directory=folder, batch_size=2 + who * 7)
            report = client.close(2 * PATIENCE)
            ended.append(report.pending)

        ended: List[int] = []
        threads = [threading.Thread(target=run, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(ended, [0] * 4)


class Readme(RealCase):
    def test_the_first_event(self) -> None:
        readme = (ROOT / "python" / "README.md").read_text(encoding="utf-8")
        found = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
        assert found is not None
        real = self.real()
        code = found[1]
        self.assertLessEqual(code.count("\n"), 5)
        for placeholder, value in {
            "https://track.example.com": real.url,
            "your-project-token": PROJECT,
            "your-public-key": KEY,
        }.items():
            self.assertIn(placeholder, code)
            code = code.replace(placeholder, value)
        patient = f"import trackway; trackway.Client.close.__defaults__ = ({PATIENCE},)\n"
        run = subprocess.run(
            [sys.executable, "-c", patient + code],
            cwd=ROOT / "python",
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertRegex(run.stdout, r"^Report\(delivered=1, rejected=0, pending=0,")
        self.assertEqual(real.customer(JANE)["events"][0]["properties"], {"total": 7.99})


if __name__ == "__main__":
    unittest.main()
