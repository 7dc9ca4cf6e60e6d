"""x402-conformance's checks of a facilitator (S0-S5, F1-F14) and of challenges (P1-P7), and of itself.

Its stand-in payments become signed ones by asking whoever started this script, who also sends them.
"""

import contextlib
import copy
import io
import json
import sys

from x402conf import cli, harness, mock

told = json.loads(sys.stdin.readline())
stand_ins = mock.vectors()


class Facilitator:
    """The facilitator under test, through our adapter."""

    chain = mock.Chain()

    def supported(self):
        return asked("/supported")

    def verify(self, payment, terms):
        return asked("/verify", payment, terms)

    def settle(self, payment, terms):
        return asked("/settle", payment, terms)


def asked(path, payment=None, terms=None):
    print(json.dumps({"ask": {"path": path, "payment": payment, "terms": terms}}), flush=True)
    return json.loads(sys.stdin.readline())


def vector(name):
    """The tool's vectors with our requirements in place of its own."""
    terms = told["terms"]
    if name == "req":
        return copy.deepcopy(terms)
    found = stand_ins(name)
    if found.get("tx"):
        found.update(mint=terms["asset"], dest=terms["payTo"], net=terms["network"])
    return found


def row(prefix, check):
    name = check["check"].split()[0]
    outcome = "pass" if check["pass"] else "fail"
    return [prefix + name, outcome, f"{check['check']}: {json.dumps(check['detail'])[:400]}"]


results = [row("live ", check) for check in harness.run_live(told["facilitator"])["checks"]]
for name, challenge in told["challenges"].items():
    response = {**challenge, "body": challenge["body"].encode()}
    results += [row(f"{name} ", check) for check in harness.check_402(response)]
results += [row("", check) for check in harness.check_safety(Facilitator(), vector)]
with contextlib.redirect_stdout(io.StringIO()) as said:
    code = cli.main(["offline"])
results.append(
    [
        "offline: it finds the faults of its own doubles",
        "pass" if not code else f"exit {code}",
        said.getvalue()[-400:],
    ]
)
print(json.dumps({"done": {"results": results}}))
