"""A process that gets the official client ready to pay and says how long that took and what it weighs."""

from time import perf_counter

START = perf_counter()

import os  # noqa: E402  the clock runs

from eth_account import Account  # noqa: E402
from x402.http.clients import x402HttpxClient  # noqa: E402
from x402.mechanisms.evm import EthAccountSigner  # noqa: E402
from x402.mechanisms.evm.exact.register import register_exact_evm_client  # noqa: E402

from x402 import x402Client  # noqa: E402

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
http = x402HttpxClient(register_exact_evm_client(x402Client(), EthAccountSigner(Account.from_key(KEY))))

SECONDS = perf_counter() - START
with open("/proc/self/statm") as pages:
    print([SECONDS, int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")])
