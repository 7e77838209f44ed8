"""Keeps commands in order until they are settled."""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, List, Optional, Tuple

from ._commands import fitting
from ._journal import Journal, adopt

_SLACK = 8 << 20
"""A journal is rewritten once it has this many bytes of settled commands."""


class Queue:
    """A queue of commands, numbered in order. Not safe for concurrent use.

    At its front are the commands that were taken, which are on their way.
    Behind them are those that wait. Commands leave at the front only, so one
    number says how far they are settled.

    With a directory, a journal in it holds the same, and outlives the process.
    If the journal cannot be written, on a full disk for example, the queue
    continues in memory. It begins another journal once it is empty, and removes
    the old one, which may itself be what fills the disk.
    """

    def __init__(self, directory: str, sync: bool, trouble: Callable[[Exception], None]) -> None:
        self.size = 0
        """Bytes of all commands, including those that are on their way."""
        self._directory = directory
        self._sync = sync
        self._trouble = trouble
        self._number = 0  # of the last command
        self._waiting: Deque[Tuple[int, bytes]] = deque()
        self._taken: List[Tuple[int, bytes]] = []
        self._journal: Optional[Journal] = None
        self._failed = False  # the journal cannot be written
        self._broken: Optional[Journal] = None  # the one that failed, which holds some of what is here
        self._closed = False

    def __len__(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    @property
    def taken(self) -> bool:
        """Whether commands are taken and not settled."""
        return bool(self._taken)

    @property
    def kept(self) -> bool:
        """Whether a journal has everything that is in the queue."""
        return self._journal is not None

    def open(self) -> None:
        """Starts a journal, and takes over what ended processes left. Raises
        OSError.
        """
        if not self._directory:
            return
        with adopt(self._directory) as (commands, damaged):
            for command in commands:
                self._add(command)
            self._begin()
        if damaged:
            self._trouble(
                ValueError(f"The queue in {self._directory} was damaged. Commands that were lost: {damaged}.")
            )

    def leave(self) -> None:
        """Closes a forked process's copy of its parent's journal."""
        for journal in (self._journal, self._broken):
            if journal is not None:
                journal.close()

    def push(self, command: bytes) -> None:
        """Adds a command at the end."""
        if self._directory and not self._journal and not self._failed:  # a forked process begins its own
            self._attempt(self._begin)
        number = self._add(command)
        journal = self._journal
        if journal is not None:
            self._attempt(lambda: journal.add(number, command))

    def _add(self, command: bytes) -> int:
        self._number += 1
        self._waiting.append((self._number, command))
        self.size += len(command)
        return self._number

    def take(self, most: int) -> List[bytes]:
        """Returns the waiting commands of the next batch. They stay in the
        queue until they are settled.
        """
        for _ in range(fitting((len(command) for _, command in self._waiting), most)):
            self._taken.append(self._waiting.popleft())
        return [command for _, command in self._taken]

    def untake(self) -> None:
        """Puts back what was taken."""
        self._waiting.extendleft(reversed(self._taken))
        self._taken = []

    def settle(self) -> None:
        """Removes what was taken."""
        self.size -= sum(len(command) for _, command in self._taken)
        self._taken = []
        self._attempt(self._note)

    def drop(self) -> Optional[bytes]:
        """Removes the first waiting command, and returns it."""
        if not self._waiting:
            return None
        _, command = self._waiting.popleft()
        self.size -= len(command)
        if not self._taken:
            self._attempt(self._note)
        return command

    def close(self) -> None:
        """Closes the journal. Another process takes over its commands."""
        if self._closed:
            return
        self._closed = True
        if self._failed and (self._waiting or self._taken):
            self._attempt(self._begin)  # there may be room by now
        if self._journal is not None and not self._waiting and not self._taken:
            self._attempt(self._journal.remove)
        self.leave()

    def _note(self) -> None:
        """Notes in the journal how far the commands are settled."""
        if self._failed and not self._waiting and not self._closed:  # the next command begins a journal
            self._failed = False
            if self._broken is not None:
                self._broken.remove()
                self._broken = None
        if self._journal is None or self._closed:
            return
        if self._journal.size > 2 * self.size + _SLACK:
            self._begin()
        else:
            self._journal.settle(self._waiting[0][0] - 1 if self._waiting else self._number)

    def _begin(self) -> None:
        """Replaces the journal by one with the content of the queue."""
        fresh = Journal.create(self._directory, self._sync, self._taken + list(self._waiting))
        for old in (self._journal, self._broken):
            if old is not None:
                old.remove()
        self._journal, self._broken, self._failed = fresh, None, False

    def _attempt(self, write: Callable[[], None]) -> None:
        """Does something with the journal. If that fails, the queue continues
        in memory.
        """
        try:
            write()
        except OSError as error:
            self._failed = True
            if self._journal is not None:
                self._broken, self._journal = self._journal, None
            self._trouble(error)
