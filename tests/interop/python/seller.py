"""The official FastAPI middleware as a process: `seller.py FACILITATOR_URL PAY_TO`. Prints its address.

`POST /goods` costs $0.01. `GET /runs` says how often its handler ran.
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact.register import register_exact_evm_server

from x402 import x402ResourceServer

facilitator, pay_to = sys.argv[1:]
server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator)))
register_exact_evm_server(server, "eip155:84532")
accepts = {"scheme": "exact", "network": "eip155:84532", "price": "$0.01", "payTo": pay_to}
app = FastAPI()
app.middleware("http")(payment_middleware({"POST /goods": {"accepts": accepts}}, server))
runs = []


@app.post("/goods")
async def goods():
    runs.append(1)
    return {"goods": "delivered"}


@app.get("/runs")
async def count():
    return len(runs)


with socket.create_server(("127.0.0.1", 0)) as listening:
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
