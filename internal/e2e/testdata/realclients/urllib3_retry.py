"""Makes one call with urllib3 as it is by default, and prints the status that came in the end."""

import sys

import urllib3

answer = urllib3.PoolManager(retries=urllib3.Retry()).request("GET", sys.argv[1])
print(answer.status)
