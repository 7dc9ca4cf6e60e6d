"""An EVM chain of one's own: anvil on a free port, with our test dollar on it. For tests and `make demo-chain`.

Anvil's binary and the token's bytecode are made by `make`; nothing is fetched here.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Final, Self

import httpx

from net.strict_json import Json, load_json
from scripts.serve.servers import ROOT, ServerFailed, clean, end
from x402.eip3009 import Domain, domain_separator
from x402.keccak import checksum_address, keccak256
from x402.networks import Asset

__all__ = ["CHAIN_ID", "NETWORK", "RELAYER_KEY", "LocalChain", "missing", "settings_for"]

CHAIN_ID: Final = 31337
NETWORK: Final = f"eip155:{CHAIN_ID}"
"""Anvil's own chain id, which no public chain has."""

OWNER: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""The first account that anvil unlocks: it deploys the tokens and mints them."""
RELAYER_KEY: Final = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
"""Anvil's second account, known to everyone: it holds ether of this chain only, to pay gas with."""

TOKEN: Final = ROOT / "contracts" / "build" / "dollar.bin"
_BINARIES: Final = ROOT / "contracts" / "node_modules" / "@foundry-rs"

_START_SECONDS: Final = 15.0
_CALL_SECONDS: Final = 15.0
_LAST_LINES: Final = 30
_LISTENING: Final = "Listening on "


def missing() -> str | None:
    """What has to be made before a chain can be started, or None."""
    if _binary() is None:
        return "anvil is not installed: make test-chain installs it"
    if not TOKEN.exists():
        return "the token is not compiled: make test-chain compiles it"
    return None


class LocalChain:
    """Anvil, for one `with` block. Blocks come every `block_seconds`; 0 makes one for each transaction."""

    def __init__(self, block_seconds: int = 0) -> None:
        """Nothing is started yet."""
        self.url = ""
        self._options = ["--block-time", str(block_seconds), "--mixed-mining"] if block_seconds else []
        self._process: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._address: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read_on, daemon=True)
        self._http = httpx.Client(timeout=_CALL_SECONDS, trust_env=False)
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        binary = _binary()
        if binary is None:
            raise ServerFailed(missing() or "anvil went away")
        command = [sys.executable, "-m", "scripts.demo.anvil", str(binary), "--port", "0", "--accounts", "2"]
        self._process = subprocess.Popen(
            [*command, "--chain-id", str(CHAIN_ID), *self._options],
            cwd=ROOT,
            env=clean({}),
            stdin=subprocess.PIPE,  # never written to: its end tells scripts.demo.anvil that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader.start()
        try:
            self.url = f"http://{self._listening()}"
        except ServerFailed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        if self._process is None:
            return
        end(self._process)
        self._reader.join()

    def rpc(self, method: str, *params: Json) -> Json:
        """The result of a JSON-RPC call.

        Raises:
            ServerFailed: the chain is away, or refuses.
        """
        order = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = load_json(self._http.post(self.url, json=order).text)
        except (httpx.HTTPError, ValueError) as exc:
            raise ServerFailed(f"the chain did not answer {method}: {type(exc).__name__}") from exc
        if not isinstance(answer, dict) or "result" not in answer:
            raise ServerFailed(f"the chain refuses {method}: {answer}")
        result: Json = answer["result"]
        return result

    def deploy(self, name: str = "Test Dollar", version: str = "2", *, fee: int = 0) -> Asset:
        """A token of ours on this chain; `fee` is what it takes of transfers, in thousandths.

        Raises:
            ServerFailed: it was not deployed, or has another EIP-712 domain than it should.
        """
        arguments = _encoded_text(name, version, fee)
        receipt = self._send({"data": "0x" + TOKEN.read_text().strip().removeprefix("0x") + arguments})
        token = Asset(NETWORK, checksum_address(str(receipt["contractAddress"])), name, version)
        domain = domain_separator(Domain(name, version, CHAIN_ID, token.address))
        if self._read(token, "DOMAIN_SEPARATOR()") != int.from_bytes(domain):
            raise ServerFailed("the token's EIP-712 domain is not the one that is signed for")
        return token

    def mint(self, token: Asset, owner: str, amount: int) -> None:
        """Give `owner` tokens, in atomic units."""
        self._call(token, "mint(address,uint256)", owner, amount)

    def balance(self, token: Asset, owner: str) -> int:
        """What `owner` holds, in atomic units."""
        return self._read(token, "balanceOf(address)", owner)

    def supply(self, token: Asset) -> int:
        """What there is of a token, in atomic units."""
        return self._read(token, "totalSupply()")

    def mine(self, blocks: int = 1) -> None:
        """Add empty blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def _call(self, token: Asset, signature: str, *arguments: str | int) -> None:
        self._send({"to": token.address, "data": _calldata(signature, *arguments)})

    def _read(self, token: Asset, signature: str, *arguments: str | int) -> int:
        call: Json = {"to": token.address, "data": _calldata(signature, *arguments)}
        return int(str(self.rpc("eth_call", call, "latest")), 16)

    def _send(self, transaction: dict[str, Json]) -> dict[str, Json]:
        sent = self.rpc("eth_sendTransaction", {"from": OWNER, **transaction})
        until = time.monotonic() + _CALL_SECONDS
        while time.monotonic() < until:
            receipt = self.rpc("eth_getTransactionReceipt", sent)
            if isinstance(receipt, dict):
                if receipt.get("status") != "0x1":
                    raise ServerFailed("a transaction of the chain's owner was reverted")
                return receipt
            time.sleep(0.05)
        raise ServerFailed("a transaction of the chain's owner was not mined")

    def _listening(self) -> str:
        try:
            return self._address.get(timeout=_START_SECONDS)
        except Empty:
            raise ServerFailed("the chain did not start. The last it said:\n" + "\n".join(self._said)) from None

    def _read_on(self) -> None:
        """Find the address among anvil's first lines, and keep reading: a full pipe would stop it."""
        stream = self._process.stdout if self._process else None
        if stream is None:
            raise AssertionError("unreachable: stdout is a pipe")
        with stream:
            for line in stream:
                self._said.append(line.rstrip())
                if line.startswith(_LISTENING):
                    self._address.put(line.removeprefix(_LISTENING).strip())


def settings_for(token: Asset) -> str:
    """`X402_ASSETS` for a token of this chain."""
    entry = {"network": token.network, "address": token.address, "name": token.name, "version": token.version}
    return json.dumps([entry])


def _binary() -> Path | None:
    return next(_BINARIES.glob("anvil-*/bin/anvil"), None)


def _calldata(signature: str, *arguments: str | int) -> str:
    words = (int(each, 16) if isinstance(each, str) else each for each in arguments)
    return "0x" + keccak256(signature.encode())[:4].hex() + "".join(f"{word:064x}" for word in words)


def _encoded_text(name: str, version: str, fee: int) -> str:
    """ABI of the constructor's (string, string, uint256)."""

    def dynamic(text: str) -> str:
        raw = text.encode()
        return f"{len(raw):064x}" + raw.hex().ljust(64, "0")

    return f"{96:064x}{160:064x}{fee:064x}" + dynamic(name) + dynamic(version)
