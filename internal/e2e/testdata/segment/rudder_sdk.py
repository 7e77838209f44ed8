"""Sends messages with rudder-sdk-python: python rudder_sdk.py SERVER KEY COUNT"""
import sys

from rudderstack.analytics.client import Client

host, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
failed = []
client = Client(key, host=host, upload_size=2, timeout=60, on_error=lambda error, batch: failed.append(error), gzip=True)
client.identify("jane@example.com", {"plan": "pro"}, anonymous_id="a-1")
for n in range(count):
    client.track("jane@example.com", "step", {"n": n})
    if n == 4:
        client.track("jane@example.com", "x" * 300)
client.flush()
client.shutdown()
print("failed:", len(failed))
