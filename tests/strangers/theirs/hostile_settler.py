"""hostile-facilitator as a seller's facilitator; whoever started this script sells one payment several times."""

import json
import sys

from hostile_facilitator.adapter import HostileServer

told = json.loads(sys.stdin.readline())
results = []
for mode in told["modes"]:
    with HostileServer(mode=mode) as server:
        print(json.dumps({"ask": {"facilitator": f"http://127.0.0.1:{server.port}"}}), flush=True)
        delivered = json.loads(sys.stdin.readline())["delivered"]
        detail = f"{server.settle_calls} settlements asked for, {server.distinct_payments} made"
    results.append([f"{mode}: one delivery", "pass" if delivered == 1 else f"{delivered} deliveries", detail])
print(json.dumps({"done": {"results": results}}))
