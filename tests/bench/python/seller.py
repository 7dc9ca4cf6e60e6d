"""The official FastAPI middleware with its facilitator inside: `GET /goods` costs $0.01, `GET /plain` nothing."""

import socket

import uvicorn
from chainless import facilitator
from fastapi import FastAPI
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact.register import register_exact_evm_server

from x402 import x402ResourceServer

server = x402ResourceServer(facilitator())
register_exact_evm_server(server, "eip155:84532")
pay_to = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
accepts = {"scheme": "exact", "network": "eip155:84532", "price": "$0.01", "payTo": pay_to}
app = FastAPI()
app.middleware("http")(payment_middleware({"GET /goods": {"accepts": accepts}}, server))


@app.get("/goods")
async def goods():
    return {"goods": "delivered"}


@app.get("/plain")
async def plain():
    return {"goods": "delivered"}


with socket.create_server(("127.0.0.1", 0)) as listening:
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])
