"""Holds the SDK to openapi/vectors, the same files that the Go and JavaScript
SDKs are held to.
"""

from __future__ import annotations

import json
import unittest
from typing import Any, Dict, List, Optional, Tuple

from trackway import _answer, _commands, _pace, _positions, _queue, _servers
from trackway._answer import Answer, Decision, decide

from .support import ROOT, headers_of

FOLDER = ROOT / "openapi" / "vectors"
NOW = 1_800_000_000.0


class Vectors(unittest.TestCase):
    def cases(self, name: str, known: str, parameters: Dict[str, Any]) -> List[Any]:
        """Returns the cases of a file. A member that is not known is a rule
        that is not tested.
        """
        file = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        self.assertEqual(file.get("parameters", {}), parameters)
        self.assertTrue(file["cases"])
        for case in file["cases"]:
            self.assertLessEqual(set(case), {"name", "given", "expect", "redirects"})
            self.assertLessEqual(set(case["given"]), set(known.split()), case["name"])
        return list(file["cases"])

    def assert_range(self, got: Optional[Tuple[float, float]], want: Optional[List[float]]) -> None:
        if want is None or got is None:
            self.assertEqual(got, want)
            return
        self.assertEqual([round(s * 1000) for s in got], [round(s * 1000) for s in want])

    def test_every_file_is_read(self) -> None:
        names = {"test_" + path.stem for path in FOLDER.glob("*.json")}
        self.assertLessEqual(names, set(dir(self)))

    def test_backoff(self) -> None:
        parameters = {
            "base": _answer.FIRST_DELAY,
            "cap": _answer.MAX_DELAY,
            "spread": _answer.SPREAD,
            "most": _answer.MAX_RETRY_AFTER,
            "moves": _answer.MAX_MOVES,
        }
        for case in self.cases(
            "backoff.json", "attempt commands status headers body error now url moves", parameters
        ):
            given, expect = case["given"], case["expect"]
            answer = Answer(
                given.get("url", ""),
                given.get("moves", 0),
                given.get("status", 0),
                headers_of(given.get("headers", {})),
                given.get("body", "").encode(),
                given.get("error"),
            )
            with self.subTest(case["name"]):
                got = decide(answer, given["attempt"], given["commands"], _time(given))
                self.assertEqual(
                    (got.action, got.url, got.failover),
                    (expect["action"], expect.get("url", ""), expect.get("failover", False)),
                )
                self.assert_range((got.low, got.high), expect.get("delay", [0, 0]))
                self.assertIn(got.reason, [expect.get("reason", got.reason)])

    def test_results(self) -> None:
        for case in self.cases("results.json", "commands body", {}):
            given, expect = case["given"], case["expect"]
            with self.subTest(case["name"]):
                got = decide(Answer(status=200, body=given["body"].encode()), 1, given["commands"], NOW)
                outcomes = expect.get("outcomes", [])
                self.assertEqual(got.action, expect["action"])
                self.assertEqual([outcome for outcome, _ in got.results], outcomes)
                self.assertEqual(
                    [reason for _, reason in got.results], expect.get("reasons", [""] * len(outcomes))
                )

    def test_pacing(self) -> None:
        parameters = {
            "free": _pace.FREE,
            "late": _pace.LATE,
            "same": _pace.SAME_WINDOW,
            "most": _answer.MAX_RETRY_AFTER,
        }
        for case in self.cases("pacing.json", "cost headers now answers", parameters):
            given, expect = case["given"], case["expect"]
            with self.subTest(case["name"]):
                if "answers" in given:
                    self.assertEqual(self.costs(given["answers"]), expect["costs"])
                    continue
                budget = _pace.governing(
                    _pace.read_budgets(headers_of(given["headers"]), _time(given)), given["cost"]
                )
                self.assert_range(budget.delay(given["cost"]) if budget else None, expect["delay"])

    def costs(self, answers: List[Dict[str, Any]]) -> List[float]:
        pacer, costs = _pace.Pacer(), []
        for seen in answers:
            self.assertEqual(set(seen), {"policy", "r", "t", "at", "calls"})
            pacer.calls += seen["calls"]
            pacer.learn(_pace.Budget(seen["policy"], None, seen["r"], seen["t"], None), seen["at"])
            costs.append(pacer.cost)
        return costs

    def test_batching(self) -> None:
        parameters = {
            "commands": _commands.MAX_COMMANDS,
            "bytes": _commands.MAX_BODY_BYTES,
            "gzip_from": _commands.GZIP_FROM,
            "data_bytes": _commands.MAX_DATA_BYTES,
            "type_bytes": _commands.MAX_TYPE_BYTES,
            "interval": 1,
        }
        for case in self.cases(
            "batching.json", "sizes waiting oldest flush data_bytes body_bytes", parameters
        ):
            given, expect = case["given"], case["expect"]
            with self.subTest(case["name"]):
                if "data_bytes" in given:
                    self.assertEqual(
                        _taken(lambda: _commands.check_size(given["data_bytes"])), expect["taken"]
                    )
                elif "body_bytes" in given:
                    self.assertEqual(_commands.pays(given["body_bytes"]), expect["gzip"])
                elif "waiting" in given:
                    due = _commands.due(given["waiting"], given["oldest"], given.get("flush", False), 1, 50)
                    self.assertEqual(due, expect["due"])
                else:
                    self.assertEqual(self.batches(given["sizes"]), expect["batches"])

    def batches(self, sizes: Any) -> List[int]:
        """Returns how a queue makes batches of commands of these sizes, and
        checks their bodies.
        """
        if isinstance(sizes, dict):
            sizes = [sizes["each"]] * sizes["times"]
        queue, lengths = _queue.Queue("", False, self.fail), []
        for size in sizes:
            queue.push(b"x" * size)
        while len(queue):
            batch = queue.take(_commands.MAX_COMMANDS)
            if len(batch) > 1:
                self.assertLessEqual(len(_commands.body_of(batch)), _commands.MAX_BODY_BYTES)
            lengths.append(len(batch))
            queue.settle()
        self.assertEqual(queue.size, 0)
        return lengths

    def test_identifiers(self) -> None:
        for case in self.cases("identifiers.json", "ids", {}):
            with self.subTest(case["name"]):
                self.assertEqual(
                    _taken(lambda: _commands.check_ids(case["given"]["ids"])), case["expect"]["taken"]
                )

    def test_timestamps(self) -> None:
        for case in self.cases("timestamps.json", "clock", {"step": _commands.Stamps.BACK_STEP / 1e6}):
            with self.subTest(case["name"]):
                stamps = _commands.Stamps()
                got = [_commands.seconds(stamps.next(reading)) for reading in case["given"]["clock"]]
                self.assertEqual(got, case["expect"]["timestamps"])

    def test_servers(self) -> None:
        parameters = {"base": _answer.FIRST_DELAY, "refresh": _servers.REFRESH}
        for case in self.cases("servers.json", "now servers current want asked answer", parameters):
            given, expect = case["given"], case["expect"]
            with self.subTest(case["name"]):
                if "asked" in given:
                    got = _servers.read_servers(given["answer"].encode(), given["asked"])
                    listed = [
                        {"url": s.url, "name": s.name, "region": s.region, "state": s.state} for s in got
                    ]
                    self.assertEqual(listed, expect["servers"])
                    continue
                servers = [_servers.Server(**server) for server in given["servers"]]
                want = given.get("want", {})
                found, wait = _servers.choose(
                    servers,
                    given.get("current", ""),
                    want.get("name", ""),
                    want.get("region", ""),
                    given["now"],
                )
                self.assertEqual([s.url for s in found], expect["any_of"])
                self.assertEqual(wait, expect.get("wait", wait))


    def test_positions(self) -> None:
        known = "held sent answer error body stored status"
        for case in self.cases("positions.json", known, {"header": _positions.HEADER}):
            given, expect = case["given"], case["expect"]
            with self.subTest(case["name"]):
                answer = Answer(
                    status=given.get("status", 0), body=given.get("body", "").encode(), error=given.get("error")
                )
                sent, decision = given.get("sent", ""), Decision("")
                if "action" in expect:
                    decision = _positions.decide_question(answer, sent, 1, NOW)
                place = _positions.Place(given.get("held", ""))
                place.after(decision, given.get("answer", ""), sent, given.get("stored", False))
                self.assertEqual(place.held, expect.get("held", ""))
                self.assertEqual(decision.action, expect.get("action", ""))
                self.assertEqual(decision.failover, expect.get("failover", False))
                self.assertEqual(decision.reason, expect.get("reason", decision.reason))


def _time(given: Dict[str, Any]) -> float:
    return _answer.read_date(given.get("now", "")) or NOW


def _taken(check: Any) -> bool:
    try:
        check()
    except ValueError:
        return False
    return True
