"""Sends what customers do to a Trackway server.

A call of ``track`` only queues the event, and returns. A thread in the
background delivers it, however often the network or the server fails on the
way. It sends batches, slows down before the server's limit would stop it, and
waits as long as the server asks. A server stores an event once even if it is
sent twice, because every event carries a time of its own.

    from trackway import Client

    client = Client("https://track.example.com", project="…", key="…")
    client.track("purchase", ids={"registered": "jane@example.com"})
    print(client.close())
"""

from ._client import Client
from ._types import AnswerError, Command, Ids, Properties, Rejection, Report, Timestamp

__all__ = ["AnswerError", "Client", "Command", "Ids", "Properties", "Rejection", "Report", "Timestamp"]

__version__ = "0.1.0"
