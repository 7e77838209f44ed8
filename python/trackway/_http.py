"""Makes HTTP requests that end before a timeout, whatever the other side does.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import ipaddress
import os
import select
import socket
import ssl
import time
import urllib.request
from typing import Any, Dict, Optional, Tuple
from urllib.parse import unquote, urlsplit

from ._answer import NOT_OURS, Answer

MAX_ANSWER = 4 << 20  # bytes of an answer that are read: more is not a tracking server's
_IDLE = 60.0  # seconds after which a connection is not used again: something on the way may have forgotten it


class Transport:
    """Makes one request at a time, and keeps the connection for the next one.
    During a request, only abort may be called.
    """

    def __init__(self, context: Optional[ssl.SSLContext] = None) -> None:
        self._context = context
        self._connection: Optional[http.client.HTTPConnection] = None
        self._origin: Tuple[str, str] = ("", "")
        self._used = 0.0
        self._aborted = False

    def exchange(
        self,
        method: str,
        url: str,
        headers: Dict[str, str],
        body: Optional[bytes],
        timeout: float,
        most: int = MAX_ANSWER,
    ) -> Answer:
        """Returns the answer to a request. The time limit covers everything
        from the connection to the last byte.
        """
        try:
            return self._exchange(method, url, headers, body, time.monotonic() + timeout, most)
        except Exception as error:  # whatever it is, there is no answer
            self.close()
            if isinstance(error, (TimeoutError, socket.timeout)):
                return Answer(url, error=f"no answer within {timeout:g} s", late=True)
            return Answer(url, error=f"{type(error).__name__}: {error}")

    def _exchange(
        self,
        method: str,
        url: str,
        headers: Dict[str, str],
        body: Optional[bytes],
        deadline: float,
        most: int,
    ) -> Answer:
        connection, target, extra = self._connected(url, deadline)
        connection.sock.settimeout(_left(deadline))
        connection.request(method, target, body=body, headers={**headers, **extra})
        response = connection.getresponse()
        content = response.read(most + 1)
        whole = response.length in (None, 0) and len(content) <= most
        self._used = time.monotonic()
        if not whole or not response.isclosed() or response.will_close:
            response.close()
            self.close()
        return Answer(
            url,
            status=response.status,
            headers=response.headers,
            body=content,
            error=None if whole else NOT_OURS,
        )

    def _connected(self, url: str, deadline: float) -> Tuple[http.client.HTTPConnection, str, Dict[str, str]]:
        """Returns a connection for a URL, the request target, and headers for a
        proxy.
        """
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        proxy = _proxy(parts.scheme, parts.hostname or "")
        target = (
            url
            if proxy and parts.scheme == "http"
            else url[url.index(parts.netloc) + len(parts.netloc) :] or "/"
        )
        extra = _proxy_headers(proxy) if proxy and parts.scheme == "http" else {}
        connection = self._connection
        if connection is None or origin != self._origin or _stale(connection, self._used):
            self.close()
            connection = self._connect(parts.scheme, parts.hostname or "", parts.port, proxy, deadline)
            self._connection, self._origin = connection, origin
        if self._aborted:
            raise OSError("the client is closed")
        connection.response_class = _timed(deadline)
        if connection.sock is None:
            connection.connect()
        return connection, target, extra

    def _connect(
        self, scheme: str, host: str, port: Optional[int], proxy: str, deadline: float
    ) -> http.client.HTTPConnection:
        at = urlsplit(proxy)
        first, first_port = (at.hostname or "", at.port) if proxy else (host, port)
        if scheme == "http":
            return http.client.HTTPConnection(first, first_port or 80, timeout=_left(deadline))
        context = self._context = self._context or ssl.create_default_context()
        secure = http.client.HTTPSConnection(
            first, first_port or (80 if proxy else 443), timeout=_left(deadline), context=context
        )
        if proxy:
            secure.set_tunnel(host, port or 443, _proxy_headers(proxy))
        return secure

    def abort(self) -> None:
        """Ends the running request, and all later ones. It may be called from
        another thread.
        """
        self._aborted = True
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            # Without what TLS adds, because another thread uses it.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def leave(self) -> None:
        """Closes a forked process's copy of the connection. It needs no lock: a
        thread of the parent that reads an answer holds that of the reader, and
        the child has no such thread.
        """
        connection, self._connection = self._connection, None
        sock = getattr(connection, "sock", None)
        fd = -1 if sock is None else sock.detach()
        if fd >= 0:
            os.close(fd)


def _timed(deadline: float) -> Any:
    """Returns a reader of a response from a socket that stops at a time."""

    def response(sock: Any, *arguments: Any, **options: Any) -> http.client.HTTPResponse:
        timed: Any = _Timed(sock, deadline)
        return http.client.HTTPResponse(timed, *arguments, **options)

    return response


class _Timed(io.RawIOBase):
    """Stands in for a socket. All of its reads together must end by one time.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)  # which keeps the socket open
        self._deadline = deadline

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        self._sock.settimeout(_left(self._deadline))
        count: Optional[int] = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    return left


def _stale(connection: http.client.HTTPConnection, used: float) -> bool:
    """Reports whether a connection is no longer usable: it has been idle for
    long, or the server has closed it.
    """
    if connection.sock is None or time.monotonic() - used > _IDLE:
        return True
    try:
        if hasattr(select, "poll"):  # which knows no bound on the number of a file
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _proxy(scheme: str, host: str) -> str:
    """Returns the proxy for a host, from HTTP_PROXY, HTTPS_PROXY and NO_PROXY
    or the system's settings, or None.
    """
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    proxy = "" if local else urllib.request.getproxies().get(scheme, "")
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else "http://" + proxy


def _proxy_headers(proxy: str) -> Dict[str, str]:
    at = urlsplit(proxy)
    if not at.username:
        return {}
    who = f"{unquote(at.username)}:{unquote(at.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(who.encode()).decode()}
