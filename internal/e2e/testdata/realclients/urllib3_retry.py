"""Makes one call with urllib3 and its defaults, and prints the final status."""

import sys

import urllib3

answer = urllib3.PoolManager(retries=urllib3.Retry()).request("GET", sys.argv[1])
print(answer.status)
