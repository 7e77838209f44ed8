"""Sends messages with PostHog's SDK for Python, each in a request of its own.

Arguments: the server's address and a key. Prints what the SDK reports as lost.
"""

import json
import sys

from posthog import Posthog

lost = []
# A slow machine may need long for an answer.
patience = {"timeout": 60, "max_retries": 10, "feature_flags_request_timeout_seconds": 60}
posthog = Posthog(sys.argv[2], host=sys.argv[1], gzip=True, flush_interval=0.05, **patience, on_error=lambda error, batch: lost.extend(m["event"] for m in batch))
for n in range(8):
    posthog.capture(f"load {n}", distinct_id="py-user", properties={"n": n})
    posthog.flush()
posthog.capture("same", distinct_id="py-user", timestamp="2026-11-01T12:00:00+00:00")
posthog.capture("same", distinct_id="py-user", timestamp="2026-11-01T12:00:00+00:00")
posthog.capture("too late", distinct_id="py-user", timestamp="2300-01-01T00:00:00+00:00")  # refused alone
posthog.set(distinct_id="py-user", properties={"email": "py@example.com"})
posthog.set_once(distinct_id="py-user", properties={"plan": "first", "email": "no"})
posthog.set_once(distinct_id="py-user", properties={"plan": "second"})
posthog.alias("py-device", "py-user")
posthog.group_identify("company", "acme", {"seats": 3}, distinct_id="py-user")
posthog.flush()
flag = posthog.feature_enabled("flag", "py-user", send_feature_flag_events=False)
posthog.shutdown()
print(json.dumps({"lost": lost, "flag": flag}))
