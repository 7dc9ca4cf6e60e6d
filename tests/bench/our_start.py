"""A process that gets ready to pay and says how long that took and what it weighs: `[seconds, bytes]`."""

from time import perf_counter

START = perf_counter()

import os  # noqa: E402  the clock runs
import sys  # noqa: E402

import httpx  # noqa: E402

from x402.client import BoundedTransport, PaymentAuth  # noqa: E402
from x402.negotiation import build_payment, window  # noqa: E402
from x402.policy import Policy, choose  # noqa: E402
from x402.wallets.signers import LocalSigner, sign_payment  # noqa: E402

signer = LocalSigner("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
policy = Policy(10_000, frozenset({"eip155:84532"}))
http = httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport()))
ready = (PaymentAuth, build_payment, choose, sign_payment, window)

SECONDS = perf_counter() - START
with open("/proc/self/statm") as pages:
    sys.stdout.write(str([SECONDS, int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")]))
