"""Makes every tracking and data call of the official Python client, and prints the results and errors as JSON.

Arguments: the project's token, a key's id and secret, another key's id and secret, the server's address.
"""

import json
import logging
import sys

from exponea_python_sdk import Exponea
from exponea_python_sdk.exceptions import APIException

logging.disable(logging.CRITICAL)
token, key, secret, other_key, other_secret, url = sys.argv[1:]
client = Exponea(token, username=key, password=secret, url=url)
other = Exponea(token, username=other_key, password=other_secret, url=url)
stranger = Exponea(token, username=key, password="wrong", url=url)
jane = {"registered": "jane@example.com"}


def outcome(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except APIException as e:
        return "APIException: " + str(e)


def consent(category, action):
    return client.tracking.add_event(jane, "consent", {"category": category, "action": action}, 1700000001, batch=True)


tracking, customer = client.tracking, client.customer
print(json.dumps({
    "time": outcome(tracking.get_system_time) > 1700000000,
    "stranger": outcome(stranger.tracking.get_system_time),
    "update": outcome(tracking.update_customer_properties, jane, {"first_name": "Jané", "age": 32, "tags": ["a", None]}),
    "event": outcome(tracking.add_event, jane, "purchase", {"total": 7.99}, 1700000000.25),
    "bad event": outcome(tracking.add_event, {}, "purchase"),
    "batch": [r if isinstance(r, bool) else r > 1700000000 for r in outcome(tracking.batch_commands, [
        consent("newsletter", "accept"), consent("sms", "reject"), tracking.get_system_time(batch=True),
        tracking.update_customer_properties({"registered": "joe@example.com"}, {"age": 41}, batch=True),
        tracking.add_event({"phone": "1"}, "x", batch=True),
    ])],
    "customer": outcome(customer.get_customer, jane),
    "events": outcome(customer.get_events, jane, ["purchase", "no_such"]),
    "attributes": outcome(customer.get_customer_attributes, jane, properties=["first_name", "no_such"], ids=["registered"], segmentations=["s"]),
    "consents": outcome(customer.get_customer_consents, jane, ["newsletter", "sms", "partners", "no_such"]),
    "customers": outcome(customer.get_customers),
    "other: attributes": outcome(other.customer.get_customer_attributes, jane, properties=["first_name", "age"], ids=["registered"]),
    "other: consents": outcome(other.customer.get_customer_consents, jane, ["newsletter"]),
    "other: customer": outcome(other.customer.get_customer, jane),
    "other: customers": outcome(other.customer.get_customers),
    "other: events": outcome(other.customer.get_events, jane, ["purchase"]),
    "other: event": outcome(other.tracking.add_event, jane, "purchase"),
    "other: anonymize": outcome(other.customer.anonymize_customer, jane),
    "anonymize": outcome(customer.anonymize_customer, jane),
    "gone": outcome(customer.get_customer, jane),
}))
