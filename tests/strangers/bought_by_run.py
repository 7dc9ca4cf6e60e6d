"""One purchase by a run, for hostile-facilitator's battery: `python -m tests.strangers.bought_by_run DIARY`.

FACILITATOR_URL and HOSTILE_CLIENT_TIMEOUT come from the battery. The API, a mock vendor that settles through that
facilitator, and a node that hands on the facilitator's `/reconcile` where the run asks its chain whether the money
moved. The run ends, or holds its money while the chain cannot be asked. DIARY is the file that is
told how it ended.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx

from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.serve.servers import api_server
from tests.strangers.environments import surroundings
from tests.strangers.payments import a_server
from tests.strangers.reconciling_node import ReconcilingNode
from tests.x402.samples import KEY, NETWORK

_VENDOR: Final = DEFAULT_CATALOG[0]
_TOKEN: Final = "token-of-an-operator-32-characters"
_START_SECONDS: Final = 25.0
_SECONDS: Final = 50.0
"""How long a run may take; the battery gives its command 80 s."""
_LOOKS: Final = 3
"""After so many questions without an answer a run that still holds its money has shown that it waits."""


def main() -> None:
    """Buy, and write down how the run stands."""
    facilitator, patience = os.environ["FACILITATOR_URL"], os.environ["HOSTILE_CLIENT_TIMEOUT"]
    command = ("tests.strangers.hasty", "vendor", facilitator, patience)
    with (
        tempfile.TemporaryDirectory() as home,
        ReconcilingNode(facilitator, str(_VENDOR.pay_to), _VENDOR.base_price_per_hour) as node,
        a_server("vendor", *command, health="/health", EPOCHS="1", EPOCH_SECONDS="0.2") as vendor,
        api_server(Path(home), _settings(home, node.url)) as api,
        httpx.Client(
            base_url=api.ready(_START_SECONDS), headers={"Authorization": f"Bearer {_TOKEN}"}, timeout=25
        ) as http,
    ):
        run = _until_settled(http, _begin(http, vendor), node)
    Path(sys.argv[1]).write_text(_told(run))


def _settings(home: str, node: str) -> dict[str, str]:
    return surroundings(
        PURSER_HOME=home,
        X402_PRIVATE_KEY=KEY,
        LOOPBACK_VENDORS="allow",
        GPU_VENDOR_SECRET=LOCAL_SECRET,
        X402_RPC_URLS=f"{NETWORK}={node}",
        X402_CONFIRMATIONS="1",
        POLL_SECONDS="1",
        API_TOKEN=_TOKEN,
    )


def _begin(http: httpx.Client, vendor: str) -> str:
    wanted = {"vendorId": _VENDOR.vendor_id, "name": "v", "endpoint": vendor, "payTo": _VENDOR.pay_to}
    prices = {"basePricePerHour": 1.4, "supportedGpuTypes": ["A100"]}
    http.post("/api/vendors", json=wanted | prices).raise_for_status()
    order = {"userId": "u", "goal": "train", "budgetTotal": 5, "gpuType": "A100", "maxHours": 1}
    run = http.post("/api/agent-start", json=order | {"vendorIds": [_VENDOR.vendor_id]}).raise_for_status().json()
    return str(run["_id"])


def _until_settled(http: httpx.Client, run_id: str, node: ReconcilingNode) -> dict[str, object]:
    """Tick until the run has ended, or has asked in vain often enough."""
    until = time.monotonic() + _SECONDS
    while True:
        http.post("/api/agent-tick", json={"runId": run_id})
        run: dict[str, object] = http.get("/api/agent-status", params={"runId": run_id}).json()["run"]
        if run["status"] in ("completed", "failed", "cancelled") or time.monotonic() > until:
            return run
        if node.unclear >= _LOOKS:
            return run
        time.sleep(0.2)


def _told(run: dict[str, object]) -> str:
    reserved = run["budgetReserved"]
    return f"{run['status']}, ${reserved} reserved" if reserved else str(run["status"])


if __name__ == "__main__":
    main()
