"""Writes through one server of a cluster, and reads each write at another one,
at once. Prints the number of each round that was read.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])
from trackway import Client  # noqa: E402

given = json.loads(sys.argv[2])
IDS = {"registered": "person-python"}
key = {"project": given["project"], "key_id": given["id"], "secret": given["secret"]}
writer = Client(servers=given["writers"], on_trouble=lambda _: None, **key)
reader = Client(servers=given["readers"], on_trouble=lambda _: None, **key)
for n in range(1, given["rounds"] + 1):
    writer.update({"n": n}, ids=IDS)
    report = writer.flush(60)
    if report.pending or report.rejected:
        sys.exit(f"round {n}: {report}")
    reader.after(writer.position)
    question = {"customer_ids": IDS, "attributes": [{"type": "property", "property": "n"}]}
    got = reader.read("customers/attributes", question, timeout=60)["results"][0].get("value")
    if got != n:
        sys.exit(f"round {n}: read {got} at {reader.server}, written at {writer.server}, position {writer.position}")
    print(n, flush=True)
writer.close()
reader.close()
