"""hostile_client: one payment presented again, to a facilitator's /settle or, in its place, to a seller.

The tool sends payload and requirements; the spec (7.1) has `x402Version` beside them, so that is added. At a
seller the payment goes in its header, and PAYMENT-RESPONSE is read as the settlement's answer.
"""

import base64
import http.client
import json
import sys
import time
from urllib.parse import urlsplit

from hostile_facilitator import hostile_client

ABANDONED = hostile_client.Answer(None, None, None, None, None, abandoned=True)
told = json.loads(sys.stdin.readline())


def to_the_desk(url, body, *, timeout, abandon_after=None):
    return hostile_client._post(url, {"x402Version": 2, **body}, timeout=timeout, abandon_after=abandon_after)


def to_the_seller(url, body, *, timeout, abandon_after=None):
    order = told["orders"][told["payments"].index(body["paymentPayload"])]
    where = urlsplit(order["url"])
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
    try:
        connection.request("POST", where.path, order["body"], order["headers"])
        if abandon_after is not None:
            time.sleep(told["abandon_seconds"])
            return ABANDONED
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    receipt = answer.getheader("PAYMENT-RESPONSE")
    if receipt is not None:
        return hostile_client._norm(json.loads(base64.b64decode(receipt)), answer.status)
    reason = base64.b64decode(answer.getheader("PAYMENT-REQUIRED") or "e30=")
    return hostile_client._norm(
        {"success": answer.status == 200, "error": json.loads(reason).get("error")}, answer.status
    )


results = []
for probed in hostile_client.probe(
    told["url"],
    told["payments"],
    told["terms"],
    probes=told["probes"],
    settle_gap=0.3,
    poster=to_the_seller if "orders" in told else to_the_desk,
    i_understand_this_spends_real_money=told.get("anvil", False),
):
    outcome = "pass" if probed.verdict == hostile_client.SAFE else probed.verdict
    results.append([probed.probe, outcome, probed.detail])
    answers = [answer for answer in probed.answers if not answer.abandoned]
    results.append(
        [f"{probed.probe}: its hash", "pass" if answers[-1].tx_hash else "no hash", str(answers[-1].error_reason)]
    )
print(json.dumps({"done": {"results": results}}))
