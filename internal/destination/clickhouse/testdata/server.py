"""A small stand-in for ClickHouse's HTTP interface around the engine of chdb.

Usage: server.py FOLDER PORT USER PASSWORD

It prints its port once it listens. The engine, the storage and the SQL are
ClickHouse's own. Only the network layer is this file: queries as a parameter or
as a body, settings as parameters, bodies in zstd, credentials in headers, query
ids that exclude each other, and exceptions with their code in a header. One
query runs at a time.
"""

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pyarrow
from chdb import session

FOLDER, PORT, USER, PASSWORD = sys.argv[1:5]
NOT_SETTINGS = {"query", "query_id", "wait_end_of_query", "database"}
STATUS = {516: 403, 497: 403, 192: 403, 60: 404, 81: 404, 62: 400, 27: 400, 26: 400, 117: 400, 159: 408}

engine = session.Session(FOLDER)
one = threading.Lock()  # guards engine
running = set()  # query ids


class Refused(Exception):
    """An exception of ClickHouse: its code and text."""


def run(query, data, settings):
    """Runs a query with settings that hold for it alone; returns the answer."""
    if data is not None and settings:
        clause = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
        query = query.replace(" FORMAT ", f" SETTINGS {clause} FORMAT ", 1)
        settings = {}
    with one:
        try:
            for name, value in settings.items():
                engine.query(f"SET {name} = '{value}'")
            if data is not None:
                query = query.encode() + b"\n" + data
            answer = engine.query(query, "TSV")
            return answer.bytes() if answer is not None else b""
        except Exception as e:  # noqa: BLE001 - whatever it is, the client gets it
            text = str(e)
            code = re.search(r"Code: (\d+)", text)
            raise Refused(int(code[1]) if code else 1002, text) from e
        finally:
            for name in settings:
                engine.query(f"SET {name} = DEFAULT")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet

    def log_message(self, *_):
        pass

    def body(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "zstd":
            return pyarrow.input_stream(pyarrow.BufferReader(raw), compression="zstd").read()
        return raw

    def do_POST(self):
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.body()
        query_id = parameters.get("query_id")
        entered = False
        try:
            if (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")) != (USER, PASSWORD):
                raise Refused(516, "Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
            if query_id in running:
                raise Refused(216, "Code: 216. DB::Exception: Query is already running. (QUERY_WITH_SAME_QUERY_ID_IS_ALREADY_RUNNING)")
            if query_id:
                running.add(query_id)
                entered = True
            settings = {k: v for k, v in parameters.items() if k not in NOT_SETTINGS}
            if "query" in parameters:
                answer = run(parameters["query"], body, settings)
            else:
                answer = run(body, None, settings)
            self.answer(200, answer, {})
        except Refused as e:
            code, text = e.args
            self.answer(STATUS.get(code, 500), text.encode(), {"X-ClickHouse-Exception-Code": str(code)})
        finally:
            if entered:
                running.discard(query_id)

    def answer(self, status, body, headers):
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the client has gone


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
