"""Holds a queue in a file that outlives its process.

A directory has one journal for each process that uses it, so any number of
processes may share the directory. Each process locks its own journal. A process
that starts takes over the journals that nobody has locked: their processes have
ended.

A journal has lines of two kinds, each with the CRC-32 of what follows the first
space, in eight hexadecimal digits:

    <sum> <number> <command>    a command
    <sum> -<number>             the commands up to this number are settled

Only the owner may read the files, because commands hold personal data.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
import zlib
from typing import Iterable, Iterator, List, Optional, Tuple

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 1 << 40, os.SEEK_SET)  # no byte of the file, because nobody could read that any more
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


_SUFFIX = ".queue"


class Journal:
    """One journal, which this process has locked. All methods raise OSError.
    Not safe for concurrent use.
    """

    def __init__(self, path: str, fd: int, sync: bool) -> None:
        self.path = path
        self.size = 0
        """Bytes of the file, about."""
        self._fd = fd
        self._sync = sync

    @classmethod
    def create(cls, directory: str, sync: bool, commands: Iterable[Tuple[int, bytes]]) -> Journal:
        """Creates a journal with these commands, and returns it when it is on
        the disk.
        """
        while True:
            # The name begins with the time, so that names are in order.
            path = os.path.join(
                directory, f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
            )
            fd = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600
            )
            try:
                if not _owned(fd, path):  # another process took it for one that was left, which it removes
                    os.close(fd)
                    continue
                journal = cls(path, fd, sync)
                journal._write(b"".join(_line(b"%d %s" % entry) for entry in commands))
                os.fsync(fd)
                _sync_directory(directory)
                return journal
            except OSError:
                with contextlib.suppress(OSError):
                    _remove(fd, path)
                raise

    def add(self, number: int, command: bytes) -> None:
        """Adds a command."""
        self._write(_line(b"%d %s" % (number, command)))
        if self._sync:
            os.fsync(self._fd)

    def settle(self, number: int) -> None:
        """Notes that the commands up to a number are settled. If a crash undoes
        this, they are sent again, and the server recognizes them.
        """
        self._write(_line(b"-%d" % number))

    def remove(self) -> None:
        """Removes the file."""
        fd, self._fd = self._fd, -1
        _remove(fd, self.path)

    def close(self) -> None:
        """Closes the file, so that another process may take it over."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write(self, lines: bytes) -> None:
        self.size += len(lines)
        while lines:  # all at once, but for a full disk
            lines = lines[os.write(self._fd, lines) :]


@contextlib.contextmanager
def adopt(directory: str) -> Iterator[Tuple[List[bytes], int]]:
    """Yields the commands that ended processes left in a directory, and the
    number of damaged lines. Then it removes their journals.

    It creates a missing directory.
    """
    os.makedirs(directory, 0o700, exist_ok=True)
    found: List[Journal] = []
    commands: List[bytes] = []
    damaged = 0
    try:
        for name in sorted(os.listdir(directory)):
            journal = _claim(os.path.join(directory, name)) if name.endswith(_SUFFIX) else None
            if journal is not None:
                found.append(journal)
                left, bad = _read(journal.path)
                commands += left
                damaged += bad
        yield commands, damaged
        for journal in found:
            journal.remove()
    finally:
        for journal in found:
            journal.close()


def _claim(path: str) -> Optional[Journal]:
    """Returns a journal that no process has locked."""
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return None  # another process was faster
    owned = False
    try:
        owned = _owned(fd, path)
    finally:
        if not owned:
            os.close(fd)
    return Journal(path, fd, False) if owned else None


def _owned(fd: int, path: str) -> bool:
    """Locks a file. Reports whether that worked and the file still exists.
    Raises OSError if files cannot be locked.
    """
    try:
        _lock(fd)
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return False


def _remove(fd: int, path: str) -> None:
    """Removes a journal that this process has locked, and closes it."""
    try:
        os.ftruncate(fd, 0)  # an empty journal does no harm, should it stay
        if sys.platform != "win32":
            os.unlink(path)  # before another process can lock it
    finally:
        os.close(fd)
    if sys.platform == "win32":  # which removes no open file
        with contextlib.suppress(OSError):  # another process has opened it since, and removes it
            os.unlink(path)


def _read(path: str) -> Tuple[List[bytes], int]:
    """Returns the commands of a journal that are not settled, and the number of
    damaged lines.
    """
    with open(path, "rb") as file:
        *lines, _ = file.read().split(
            b"\n"
        )  # after the last line is nothing, or what a crash left unfinished
    commands: List[Tuple[int, bytes]] = []
    settled = damaged = 0
    for line in lines:
        number, _, command = line[9:].partition(b" ")
        if line + b"\n" != _line(line[9:]):
            damaged += 1
        elif number.startswith(b"-"):
            settled = int(number[1:])
        else:
            commands.append((int(number), command))
    return [command for number, command in commands if number > settled], damaged


def _line(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _sync_directory(directory: str) -> None:
    """Makes the names of new files durable. Systems that cannot do this do not
    need it.
    """
    if sys.platform != "win32":
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
