"""The `purser` command beside a server: indexes are made, a run is watched to its end, its trail is verified."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from agent.book.models import INDEXES
from scripts.client.api import Client
from scripts.seed import seed
from scripts.serve.servers import api_server, clean, vendor_server
from tests.wire.given import drop, fresh_name, needs_server, server_uri

pytestmark = needs_server


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """Settings of a database of our own on the server, gone afterwards."""
    name = fresh_name()
    yield {"MONGODB_URI": server_uri(), "MONGODB_DB_NAME": name}
    drop(name)


def purser(directory: Path, settings: dict[str, str], *words: str) -> dict[str, object]:
    """What the command says with --json."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cli", *words, "--json"],
        cwd=directory,
        env=clean(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


def test_a_run_from_init_to_a_verified_trail(tmp_path: Path, store: dict[str, str]) -> None:
    """Two API processes on one database: one starts the run, the other one ends it and shows its trail."""
    made = purser(tmp_path, store, "init")
    with MongoClient[dict[str, object]](store["MONGODB_URI"]) as client:
        database = client[store["MONGODB_DB_NAME"]]
        there = {name: len(database[name].index_information().keys() - {"_id_"}) for name in INDEXES}

    assert made == {"database": store["MONGODB_DB_NAME"], "indexes": there, "restored": None}

    settings = {"POLL_SECONDS": "0.05", **store}
    with (
        vendor_server(tmp_path, {"EPOCH_SECONDS": "0.02"}) as vendors,
        api_server(tmp_path, settings) as first,
        api_server(tmp_path, settings) as second,
    ):
        with Client(first.ready()) as client_of_first:
            seed(client_of_first, vendors.ready())
        one, other = {"PURSER_URL": first.url}, {"PURSER_URL": second.ready()}
        run_id = str(purser(tmp_path, one, "start", "Fine-tune tiny-llm", "--budget", "5")["_id"])
        watched = purser(tmp_path, other, "watch", run_id)
        verified = purser(tmp_path, one, "audit", "verify", run_id)

    assert isinstance(watched["run"], dict)
    assert watched["run"]["status"] == "completed"
    assert (verified["runId"], verified["verified"], verified["faults"]) == (run_id, True, [])
