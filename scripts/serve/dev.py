"""`make dev`: the API with reload on change, and the mock vendors beside it, on the user's settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.supervisors.watchfilesreload import WatchFilesReload

from agent.process.settings import Settings
from scripts.client.api import Client
from scripts.client.errors import ClientError
from scripts.seed import seed
from scripts.serve.complete import check_complete
from scripts.serve.servers import ROOT, ServerProcess, check_free, hand_down

__all__ = ["run_dev"]

POLL_SECONDS: Final = "1"
"""How often jobs are looked at unless the user says otherwise: mock jobs are over in seconds."""

WATCHED: Final = ("api", "agent", "vendors", "x402", "net")
"""Packages whose change restarts the API."""

UP_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.1


def run_dev(settings: Settings, port: int, vendor_port: int, on_up: Callable[[str, str], None]) -> None:
    """Serve until Ctrl-C. `on_up` is told both addresses each time the API has come up.

    Raises:
        ConfigurationError: a setting that the API cannot do without is missing.
        ServerFailed: a port is taken, or the mock vendors ended by themselves.
    """
    check_complete(settings)
    if "poll_seconds" not in settings.model_fields_set:
        hand_down("POLL_SECONDS", POLL_SECONDS)
    if settings.loopback_vendors is None:
        hand_down("LOOPBACK_VENDORS", "allow")  # the mock vendors are on this machine, whatever wallet pays them
    check_free(port)
    check_free(vendor_port)
    command = ["gpu_vendor_mock", "--port", str(vendor_port)]
    with ServerProcess("mock vendors", command, "/health", ROOT, None) as vendors:
        vendors.ready()
        config = uvicorn.Config(
            "api.index:app",
            port=port,
            reload=True,
            reload_dirs=[str(ROOT / name) for name in WATCHED],
        )
        _Reloader(config, vendors, lambda: _prepare(settings, port, vendors.url, on_up)).serve()


class _Reloader(WatchFilesReload):
    """uvicorn's reloader that does something after each start, and ends when the mock vendors do."""

    def __init__(self, config: uvicorn.Config, vendors: ServerProcess, after_start: Callable[[], None]) -> None:
        super().__init__(config, uvicorn.Server(config).run, [config.bind_socket()])
        self._vendors = vendors
        self._after_start = after_start

    def serve(self) -> None:
        """Run, and leave no process behind."""
        try:
            self.run()
        except BaseException:
            self.shutdown()
            raise

    def startup(self) -> None:
        super().startup()
        self._then()

    def restart(self) -> None:
        super().restart()
        self._then()

    def should_restart(self) -> list[Path] | None:
        changes = super().should_restart()
        if not self.should_exit.is_set():
            self._vendors.check()
        return changes

    def _then(self) -> None:
        threading.Thread(target=self._after_start, daemon=True).start()


def _prepare(settings: Settings, port: int, vendors_url: str, on_up: Callable[[str, str], None]) -> None:
    """Wait for the API; give it the two vendors if its store began empty with it."""
    token = settings.api_token
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + UP_SECONDS
    with Client(url, None if token is None else token.get_secret_value()) as client:
        while time.monotonic() < until:
            try:
                if client.health() == "embedded":
                    seed(client, vendors_url)
            except ClientError:
                time.sleep(LOOK_SECONDS)  # not up yet, or broken by an edit: its own output says so
            else:
                on_up(url, vendors_url)
                return
