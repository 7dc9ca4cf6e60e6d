"""Commands that do more than talk to a server: `demo`, `dev`, `serve`, `worker`."""

from __future__ import annotations

import json as jsons
from typing import Annotated

import typer

from scripts.cli.options import JsonFlag
from scripts.cli.session import failing, say, settings_now

__all__ = ["demo", "dev", "serve", "worker"]


def demo(json: JsonFlag = False) -> None:
    """Show a whole run on servers of its own. No settings are needed or used."""
    with failing(json):
        from scripts.demo.run import exit_code, run_demo
        from scripts.view.text import console_for

        outcome = run_demo(console_for(), quiet=json)
        if json:
            print(jsons.dumps(outcome.as_json()))
    raise typer.Exit(exit_code(outcome))


def dev(
    port: Annotated[int, typer.Option(help="port of the API")] = 3000,
    vendor_port: Annotated[int, typer.Option(help="port of the mock vendors")] = 4001,
    json: JsonFlag = False,
) -> None:
    """Serve API and mock vendors on this machine; reload on change."""
    with failing(json):
        from scripts.serve.dev import run_dev
        from scripts.view.text import said

        settings = settings_now()

        def up(url: str, vendors_url: str) -> None:
            if json:
                print(jsons.dumps({"url": url, "vendorsUrl": vendors_url}), flush=True)
            else:
                say(said(f"API at {url} (described at {url}/docs), mock vendors at {vendors_url}", "bold green"))

        run_dev(settings, port, vendor_port, up)


def worker(
    grace: Annotated[
        float, typer.Option(min=0, max=3600, help="seconds that ticks under way are given when it is stopped")
    ] = 30,
    json: JsonFlag = False,
) -> None:
    """Tick what is due, in a loop, on MONGODB_URI. Ends with SIGTERM or Ctrl-C: at once with the second one."""
    with failing(json):
        from scripts.serve.worker import run_worker

        def note(said: str) -> None:
            print(jsons.dumps({"worker": said}) if json else said, flush=True)

        done = run_worker(settings_now(), grace, note)
        note(f"stopped after {done.ticks} ticks; {done.failures} could not be made, {done.cut_off} were cut off")


def serve(
    host: Annotated[str, typer.Option(help="where to listen; 0.0.0.0: on all addresses")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any that is free")] = 3000,
    json: JsonFlag = False,
) -> None:
    """Serve the API, until it is told to stop.

    Without API_TOKEN only this machine can be served: on any other address it does not start.
    """
    with failing(json):
        from scripts.serve.api import run_server
        from scripts.view.text import said

        settings = settings_now()

        def up(url: str) -> None:
            if json:
                print(jsons.dumps({"url": url}), flush=True)
            else:
                say(said(f"API at {url} (described at {url}/docs)", "bold green"))

        run_server(settings, host, port, up)
