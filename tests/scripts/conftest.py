"""Real servers as processes, and the command as users call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scripts.cli.tree import command_line
from scripts.client.api import Client
from scripts.seed import seed
from scripts.serve.servers import api_server, vendor_server

Purser = Callable[..., Result]

TOKEN = "t0ken-of-the-tests"


@pytest.fixture(scope="session")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API, asking for a token, with two vendors that train fast; gpu_vendor_1 fails."""
    empty = tmp_path_factory.mktemp("servers")
    training = {"FAIL_VENDOR_ID": "gpu_vendor_1", "EPOCH_SECONDS": "0.02"}
    with (
        vendor_server(empty, training) as vendors,
        api_server(empty, {"POLL_SECONDS": "0.05", "API_TOKEN": TOKEN, "SEALING_KEYS": "5e" * 32}) as api,
    ):
        with Client(api.ready(), TOKEN) as client:
            seed(client, vendors.ready())
        yield api.url


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An empty working directory and none of the developer's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PURSER_URL", "API_TOKEN", "MONGODB_URI", "PLANNER_MODE", "X402_PRIVATE_KEY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def command(elsewhere: pytest.MonkeyPatch) -> Purser:
    """`purser`, called with arguments. Settings are set with monkeypatch."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(command_line(*arguments[:1]), arguments, prog_name="purser")

    return call


@pytest.fixture
def purser(api_url: str, command: Purser, elsewhere: pytest.MonkeyPatch) -> Purser:
    """`purser` on the real server."""
    elsewhere.setenv("PURSER_URL", api_url)
    elsewhere.setenv("API_TOKEN", TOKEN)
    return command
