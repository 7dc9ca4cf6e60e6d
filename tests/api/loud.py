"""`python -m tests.api.loud`: the API on a free port, with every logger at its most talkative."""

from __future__ import annotations

import logging

import uvicorn

if __name__ == "__main__":
    logging.getLogger().setLevel(logging.DEBUG)
    uvicorn.run("api.index:app", host="127.0.0.1", port=0, log_level="trace")
