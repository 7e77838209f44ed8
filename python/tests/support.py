"""Servers for the tests: one that misbehaves as it is told to, the real one,
and a proxy that does what networks do.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from trackway import Client, Rejection

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds after which a test that waits for something gives up."""

PROJECT = "12345678-1234-1234-1234-123456789abc"
KEY = "public-key-7d1f0c52aa"
KEY_ID = "private-id-0b9e6f41c3"
SECRET = "secret-key-e83a1795d4"
JANE = {"registered": "jane@example.com"}


def headers_of(fields: Dict[str, str]) -> Message:
    headers = Message()
    for name, value in fields.items():
        headers[name] = value
    return headers


class Request:
    """What a fake server was sent."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self.method, self.path, self.headers = handler.command, handler.path, handler.headers
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.packed = handler.headers.get("Content-Encoding") == "gzip"
        self.body = gzip.decompress(body) if self.packed else body

    @property
    def commands(self) -> List[Any]:
        return json.loads(self.body)["commands"] if self.body else []


class Reply:
    """What a fake server answers. A reply without a status closes the
    connection.
    """

    def __init__(
        self,
        status: int = 200,
        body: Union[bytes, str, Dict[str, Any]] = b"",
        headers: Optional[Dict[str, str]] = None,
        cut: bool = False,
        hold: Optional[threading.Event] = None,
        ends: bool = False,
        rest: Optional[threading.Event] = None,
    ) -> None:
        self.status = status
        self.body = (
            json.dumps(body).encode()
            if isinstance(body, dict)
            else body.encode()
            if isinstance(body, str)
            else body
        )
        self.headers = headers or {}
        self.cut = cut  # half of it
        self.hold = hold  # it is not sent before
        self.ends = ends  # the connection ends with it, and it does not say so
        self.rest = rest  # half of it is not sent before


def ok(request: Request, *rejected: int) -> Reply:
    """Accepts all commands of a batch, but some."""
    if request.method == "GET":
        return Reply(body={"time": 1.5, "success": True})
    results = [
        {"success": False, "errors": ["No."]} if i in rejected else {"success": True}
        for i in range(len(request.commands))
    ]
    return Reply(body={"results": results, "success": True})


class Fake:
    """A server that answers as a function says, or as the items of a list say,
    then well.
    """

    def __init__(
        self, answer: Union[Callable[[Request], Reply], List[Reply]], tls: Optional[ssl.SSLContext] = None
    ) -> None:
        replies = list(answer) if isinstance(answer, list) else []
        self.requests: List[Request] = []
        self.connections = 0
        self.came = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.connections += 1

            def answer(self) -> None:
                request = Request(self)
                with outer.came:
                    outer.requests.append(request)
                    reply = (
                        answer(request) if callable(answer) else replies.pop(0) if replies else ok(request)
                    )
                    outer.came.notify_all()
                send(self, reply)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def await_requests(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, PATIENCE), "too few requests"

    @property
    def commands(self) -> List[Any]:
        return [command for request in self.requests for command in request.commands]

    @property
    def numbers(self) -> List[int]:
        return [command["data"]["properties"]["n"] for command in self.commands]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Quiet(ThreadingHTTPServer):
    """A server whose clients may go away."""

    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        pass


def send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    """Sends a reply, in one of the ways that go wrong if it says so."""
    if reply.hold is not None:
        reply.hold.wait(PATIENCE)
    if reply.status == 0:
        return reset(handler)
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(reply.body)))
    handler.end_headers()
    half = len(reply.body) // 2
    handler.wfile.write(reply.body[:half])
    if reply.rest is not None:
        reply.rest.wait(PATIENCE)
    if not reply.cut:
        handler.wfile.write(reply.body[half:])
    handler.close_connection = handler.close_connection or reply.ends
    if reply.cut:
        reset(handler)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Breaks a connection off."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.shutdown(socket.SHUT_RDWR)


class Case(unittest.TestCase):
    """A test with servers and clients, which end with it."""

    def fake(
        self,
        answer: Union[Callable[[Request], Reply], List[Reply]] = ok,
        tls: Optional[ssl.SSLContext] = None,
    ) -> Fake:
        fake = Fake(answer, tls)
        self.addCleanup(fake.close)
        return fake

    def client(self, url: Optional[str] = None, **options: Any) -> Client:
        """Returns a client that waits for little, and whose rejections fail the
        test.
        """

        def rejected(rejection: Rejection) -> None:
            self.fail(f"rejected: {rejection}")

        wanted = {
            "project": PROJECT,
            "flush_interval": 0.001,
            "max_delay": 0.02,
            "timeout": 2 * PATIENCE,
            "on_trouble": lambda _: None,
        }
        wanted["on_reject"] = rejected
        if "key_id" not in options:
            wanted["key"] = KEY
        client = Client(url, **{**wanted, **options})
        self.addCleanup(client.close, 0)
        return client

    def folder(self) -> str:
        folder = tempfile.mkdtemp(prefix="trackway-python-")
        self.addCleanup(shutil.rmtree, folder, True)
        return folder

    def deaf(self) -> str:
        """Returns an address that refuses connections. Nobody else can take it.
        """
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"

    def ended(self, thread: Optional[threading.Thread]) -> None:
        """Wants a sender to end, or to have ended, although no server answers.
        """
        assert thread is not None
        thread.join(PATIENCE / 2)  # a server that holds an answer does so for longer
        self.assertFalse(thread.is_alive())

    def wait_for(self, event: threading.Event) -> None:
        self.assertTrue(event.wait(PATIENCE), "it never came")

    def track(self, client: Client, numbers: Any, **options: Any) -> None:
        for n in numbers:
            self.assertTrue(client.track("step", {"n": n}, ids=JANE, **options))

    def delivered(self, client: Client, count: int) -> None:
        """Flushes, and wants all to be delivered."""
        report = client.flush(PATIENCE)
        self.assertEqual((report.delivered, report.pending), (count, 0), report)


_built: Dict[str, str] = {}


def binary() -> str:
    """Builds the program. Go's cache makes the second time short."""
    if "path" not in _built:
        if shutil.which("go") is None:
            raise unittest.SkipTest("the real server needs Go")
        path = ROOT / "bin" / "trackway-python-test"
        subprocess.run(["go", "build", "-o", str(path), "./cmd/trackway"], cwd=ROOT, check=True)
        _built["path"] = str(path)
    return _built["path"]


class Real:
    """The real server, on a port that the system draws. It keeps the port over
    restarts: on Linux, a socket that does not listen keeps others from it.
    """

    def __init__(self, folder: str, limit: int = 4_000_000, window: str = "60s") -> None:
        self._folder = folder
        self._config = os.path.join(folder, "trackway.yaml")
        self._listen = "127.0.0.1:0"
        self._keeps = socket.socket()
        if sys.platform == "linux":
            self._keeps.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            self._keeps.bind(("127.0.0.1", 0))
            self._listen = f"127.0.0.1:{self._keeps.getsockname()[1]}"
        Path(self._config).write_text(_configuration(limit, window))
        os.chmod(self._config, 0o600)
        self.start()

    def start(self) -> None:
        arguments = ["serve", "--config", self._config, "--data", os.path.join(self._folder, "data")]
        arguments += ["--listen", self._listen, "--ops-listen", "127.0.0.1:0", "--log-format", "json"]
        self._process = subprocess.Popen(
            [binary(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line.decode(errors="replace"))
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("msg") == "ready":
                    self._listen = entry["public"]
                    break
        else:
            raise AssertionError("the server ended:\n" + "".join(said))
        self._drain = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._drain.start()

    @property
    def url(self) -> str:
        return f"http://{self._listen}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._drain.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def close(self) -> None:
        self.kill()
        self._keeps.close()

    def ask(self, method: str, path: str, body: Any = None) -> Tuple[int, Any]:
        connection = http.client.HTTPConnection(self._listen, timeout=PATIENCE)
        try:
            authorization = "Basic " + base64.b64encode(f"{KEY_ID}:{SECRET}".encode()).decode()
            connection.request(
                method, path, json.dumps(body) if body else None, {"Authorization": authorization}
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def customer(self, ids: Dict[str, Any]) -> Any:
        status, customer = self.ask(
            "POST", f"/data/v2/projects/{PROJECT}/customers/export-one", {"customer_ids": ids}
        )
        assert status in (200, 404), customer
        return customer if status == 200 else None

    def numbers(self, ids: Dict[str, Any] = JANE) -> List[int]:
        """Returns the numbers of a customer's events, in order."""
        customer = self.customer(ids)
        return [event["properties"]["n"] for event in customer["events"]] if customer else []


class RealCase(Case):
    """A test against the real server."""

    def real(self, **options: Any) -> Real:
        real = Real(self.folder(), **options)
        self.addCleanup(real.close)
        return real


def _configuration(limit: int, window: str) -> str:
    return f"""
server: {{name: ts1}}
projects:
  - name: demo
    token: {PROJECT}
    identifiers: {{hard: [registered], soft: [cookie]}}
    keys:
      - {{name: web, kind: public, token: "{KEY}"}}
      - {{name: backend, kind: private, id: "{KEY_ID}", secret: "{SECRET}"}}
limits:
  - {{name: track, paths: [/track/], limit: {limit}, window: {window}, per: ip, allow_below_floor: true}}
  - {{name: api, paths: [/api/, /data/], limit: 4000000, window: 60s, per: ip}}
  - {{name: grid, paths: [/grid/], limit: 4000000, window: 60s, per: ip}}
"""


FATES = ("lost", "pass", "reset", "cut", "twice", "500", "pass", "503", "lost", "pass", "429", "pass", "cut")


@contextlib.contextmanager
def proxy(target: Real) -> Iterator[Tuple[str, List[str]]]:
    """Runs a proxy before a server that meets requests with the fates, in turn.
    Gives its address, and the fates so far.
    """
    fates: List[str] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            with lock:
                fate = FATES[len(fates) % len(FATES)]
                fates.append(fate)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fate == "reset":
                return reset(self)
            if fate.isdigit():
                return send(self, Reply(int(fate), '{"errors":{"code":0,"description":"chaos"}}'))
            try:
                for _ in range(2 if fate == "twice" else 1):
                    status, headers, content = self.forward(body)
            except (OSError, http.client.HTTPException):
                return reset(self)
            if fate == "lost":
                return reset(self)
            send(self, Reply(status, content, headers, cut=fate == "cut"))

        do_GET = do_POST = answer

        def forward(self, body: bytes) -> Tuple[int, Dict[str, str], bytes]:
            connection = http.client.HTTPConnection(target.url[len("http://") :], timeout=PATIENCE)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                kept = {
                    k: v
                    for k, v in response.headers.items()
                    if k.lower() not in ("content-length", "connection", "date")
                }
                return response.status, kept, response.read()
            finally:
                connection.close()

        def log_message(self, *_: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", fates
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
