"""Makes commands, their times and their batches.

openapi/vectors has the rules as data: batching.json, identifiers.json and
timestamps.json.
"""

from __future__ import annotations

import gzip
import json
import numbers
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple

from ._types import Ids, Properties, Timestamp

MAX_COMMANDS = 50
MAX_TYPE_BYTES = 256
MAX_DATA_BYTES = 800_000
MAX_BODY_BYTES = 512 << 10  # proxies commonly take no more than 1 MB
GZIP_FROM = 1 << 10  # bytes of a body; below, the header and the work cost more than is saved

_START = b'{"commands":['
_END = b"]}"


def encode(
    name: str, ids: Ids, event_type: Optional[str], properties: Optional[Properties], clock: str, micros: int
) -> bytes:
    """Returns a command in the form that a batch contains. Raises ValueError or
    TypeError if every server would refuse it.

    The JSON is made only once, during the call, so a batch that is sent again
    has the same bytes.
    """
    check_ids(ids)
    data: Dict[str, Any] = {"customer_ids": dict(ids)}
    if event_type is not None:
        check_type(event_type)
        data["event_type"] = event_type
    if properties:
        data["properties"] = dict(properties)
    body = dump(data)
    stamped = b'%s,"%s":%s}' % (body[:-1], clock.encode(), seconds(micros).encode())
    check_size(len(stamped))
    return b'{"name":"%s","data":%s}' % (name.encode(), stamped)


def dump(value: Any) -> bytes:
    """Returns a value as JSON."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON has an escape for it
        return _encode_ascii(value).encode()


def _plain(value: Any) -> Any:
    """Returns the JSON form of a value that the json module does not support.
    """
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, numbers.Integral):  # NumPy's, for example
        return int(value)
    if isinstance(value, (numbers.Real, Decimal)):
        return float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


_options: Dict[str, Any] = {"allow_nan": False, "separators": (",", ":"), "default": _plain}
_encode = json.JSONEncoder(ensure_ascii=False, **_options).encode
_encode_ascii = json.JSONEncoder(**_options).encode


def check_ids(ids: Ids) -> None:
    """Refuses what every server refuses: a command in which no value has more
    than white space, and half a surrogate pair.
    """
    values = list(ids.values())
    for text in _texts(values):
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise ValueError("An identifier has half a surrogate pair.")
    if not any(map(names_someone, values)):
        raise ValueError("At least one identifier of the customer is needed.")


def _texts(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _texts(value)


def names_someone(value: Any) -> bool:
    """Reports whether a value may name a customer. Only the server knows which
    texts name nobody.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(names_someone, value))
    return value is not None and bool(str(value).strip())


def check_type(event_type: str) -> None:
    """Refuses a type of event that every server refuses."""
    size = len(event_type.encode(errors="surrogatepass"))
    if not 1 <= size <= MAX_TYPE_BYTES:
        raise ValueError(f"The event's type must have 1 to {MAX_TYPE_BYTES} bytes, it has {size}.")


def check_size(data_bytes: int) -> None:
    """Refuses data that every server refuses."""
    if data_bytes > MAX_DATA_BYTES:
        raise ValueError(f"The command has {data_bytes} bytes of JSON, at most {MAX_DATA_BYTES}.")


def body_of(commands: Sequence[bytes]) -> bytes:
    """Returns the body of a batch."""
    return _START + b",".join(commands) + _END


def fitting(sizes: Iterable[int], most: int = MAX_COMMANDS) -> int:
    """Returns how many of the first commands fit into a batch, given their
    sizes. The first one always fits.
    """
    count, body = 0, len(_START) + len(_END) - 1
    for size in sizes:
        body += size + 1
        if count == most or (count > 0 and body > MAX_BODY_BYTES):
            break
        count += 1
    return count


def compress(body: bytes) -> Tuple[bytes, bool]:
    """Compresses a body with gzip if that makes it smaller. Returns the body,
    and whether it is compressed.
    """
    if pays(len(body)):
        packed = gzip.compress(body, 1)
        if len(packed) < len(body):
            return packed, True
    return body, False


def pays(body_bytes: int) -> bool:
    """Reports whether a body is large enough to be compressed."""
    return body_bytes >= GZIP_FROM


def due(waiting: int, oldest: float, flush: bool, interval: float, full: int) -> bool:
    """Reports whether to send a batch: if it is full, if its first command has
    waited long enough, or if a flush asks for it.
    """
    return waiting >= full or (waiting > 0 and (flush or oldest >= interval))


class Stamps:
    """Gives each call a time of its own, in microseconds since 1970. Not safe
    for concurrent use.
    """

    BACK_STEP = 1_000_000
    """A clock that goes back by at least this much was set back; a smaller step
    is jitter.
    """

    def __init__(self) -> None:
        self._last = -self.BACK_STEP

    def next(self, clock: int) -> int:
        """Returns the time of a call: the clock's time, or the microsecond
        after the last call if the clock has not moved on.

        The server treats two events that are equal to the microsecond as one.
        """
        if clock <= self._last and self._last - clock < self.BACK_STEP:
            clock = self._last + 1
        self._last = clock
        return clock


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST = 0
_AFTER = (datetime(2201, 1, 1, tzinfo=timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def micros_of(timestamp: Timestamp) -> int:
    """Returns a caller's time in microseconds since 1970. Raises ValueError or
    TypeError if every server would refuse the time.
    """
    if isinstance(timestamp, datetime):
        micros = (timestamp.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
    elif isinstance(timestamp, (int, float)) and not isinstance(timestamp, bool):
        if not -1e12 < timestamp < 1e12:  # NaN is not either
            raise ValueError("The time must lie in the years 1970 to 2200.")
        micros = round(timestamp * 1_000_000)
    else:
        raise TypeError(f"A timestamp is a datetime or Unix seconds, not a {type(timestamp).__name__}.")
    if not _FIRST <= micros < _AFTER:
        raise ValueError("The time must lie in the years 1970 to 2200.")
    return micros


def seconds(micros: int) -> str:
    """Formats a time as the API does: in seconds with up to six decimals."""
    whole, fraction = divmod(micros, 1_000_000)
    return f"{whole}.{fraction:06d}".rstrip("0") if fraction else str(whole)
