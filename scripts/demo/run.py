"""The demo: a goal becomes a finished GPU job, paid over x402, on servers of its own that are gone afterwards.

The servers run in an empty directory with a clean environment: nothing of the user's settings, keys or data is
seen or touched, whatever `.env` and the shell hold.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from pydantic import JsonValue
from rich.console import Console

from agent.book.money import usd_json
from gpu_vendor_mock.settings import LOCAL_SECRET
from scripts.audit.books import Books, books_of
from scripts.audit.judge import Audited, audit_run
from scripts.audit.vendor_journal import Journal, Settlement, against_vendors
from scripts.client.api import Client
from scripts.client.errors import ClientError
from scripts.client.shapes import Status, read_exactly
from scripts.exits import Exit
from scripts.seed import seed
from scripts.serve.servers import ServerFailed, ServerProcess, api_server, vendor_server
from scripts.view.runs import books, trail, verdict
from scripts.view.screen import Screen
from scripts.view.text import said, usd
from scripts.watch import follow

__all__ = ["BUDGET", "OFFLINE", "Outcome", "Place", "exit_code", "run_demo"]

GOAL: Final = "Fine-tune tiny-llm"
BUDGET: Final = 5_000_000

API_SETTINGS: Final = {"POLL_SECONDS": "0.2", "PLANNER_MODE": "stub"}
VENDOR_SETTINGS: Final = {"FAIL_VENDOR_ID": "gpu_vendor_1", "EPOCH_SECONDS": "0.6", "EPOCHS": "5"}

RUN_SECONDS: Final = 60.0
"""Several times what the run takes: a demo never hangs."""

JOURNAL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where payments are settled: what API and vendors are told of it beyond the usual, and the API's token."""

    api: Mapping[str, str] = field(default_factory=dict)
    vendors: Mapping[str, str] = field(default_factory=dict)
    token: str | None = None


OFFLINE: Final = Place()
"""By the vendors themselves, against a ledger in memory."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo has to show for itself at its end."""

    status: Status
    books: Books
    vendor_faults: tuple[str, ...]
    audited: Audited

    @property
    def good(self) -> bool:
        """The run completed, the books balance here and at the vendors, and the trail verifies."""
        completed = self.status.run.status == "completed"
        return completed and not (self.books.faults or self.vendor_faults or self.audited.faults)

    def as_json(self) -> dict[str, JsonValue]:
        """For `--json`."""
        run = self.status.run
        return {
            "runId": run.id,
            "status": run.status,
            "budgetTotal": usd_json(run.budget_total),
            "budgetRemaining": usd_json(run.budget_remaining),
            "budgetSpent": usd_json(run.budget_spent),
            "booksBalance": not (self.books.faults or self.vendor_faults),
            "audit": self.audited.as_json(),
        }


def run_demo(console: Console, *, quiet: bool = False, place: Place = OFFLINE) -> Outcome:
    """Run the demo to its end, shown live unless `quiet`. `place` is where payments are settled.

    Raises:
        ServerFailed: one of its servers did not come up, ended early, or did not answer as it should.
    """
    with ExitStack() as stack:
        stack.enter_context(_stopping_on_signals())
        empty = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="purser-demo-")))
        vendors = stack.enter_context(vendor_server(empty, {**VENDOR_SETTINGS, **place.vendors}))
        api = stack.enter_context(api_server(empty, {**API_SETTINGS, **place.api}))
        client = stack.enter_context(Client(api.ready(), place.token))
        vendors.ready()
        if not quiet:
            _greet(console, api, vendors)
        try:
            outcome = _play(console, client, vendors, quiet)
        except ClientError as exc:
            raise api.failure(f"did not do its part ({exc})") from exc
        if not quiet:
            _account(console, outcome)
        return outcome


def exit_code(outcome: Outcome) -> Exit:
    """What `make demo` ends with."""
    return Exit.OK if outcome.good else Exit.FAILED


def _play(console: Console, client: Client, vendors: ServerProcess, quiet: bool) -> Outcome:
    seed(client, vendors.url)
    order: dict[str, JsonValue] = {"userId": "demo", "goal": GOAL, "budgetTotal": usd_json(BUDGET)}
    run = client.start(order).value
    until = time.monotonic() + RUN_SECONDS
    with ExitStack() as stack:
        screen = None if quiet else stack.enter_context(Screen(console))

        def show(status: Status) -> None:
            if screen is not None:
                screen.show(status)
            if time.monotonic() > until:
                raise ServerFailed(f"the demo's run has not ended after {RUN_SECONDS:g} s")

        follow(client, run.id, show, patience=0)  # its own servers are not away: what fails is broken
    status = client.status(run.id, limit=500).value
    return Outcome(
        status=status,
        books=books_of(status.run, status.payments),
        vendor_faults=against_vendors(status.payments, _settlements(vendors)),
        audited=audit_run(client, run.id),
    )


def _settlements(vendors: ServerProcess) -> tuple[Settlement, ...]:
    """What the vendors themselves wrote down of the money that they got."""
    try:
        answer = httpx.get(
            f"{vendors.url}/journal",
            headers={"Authorization": f"Bearer {LOCAL_SECRET}"},
            timeout=JOURNAL_SECONDS,
            trust_env=False,
        ).raise_for_status()
        return read_exactly(Journal, answer.text).settlements
    except (httpx.HTTPError, ValueError) as exc:
        raise ServerFailed(f"the mock vendors' journal cannot be read: {exc}") from exc


def _greet(console: Console, api: ServerProcess, vendors: ServerProcess) -> None:
    console.print(said("Purser demo: a goal becomes a finished GPU job, paid over x402", "bold"))
    console.print(
        said(f"API {api.url}, mock vendors {vendors.url}; gpu_vendor_1 is set to fail in epoch 3", "dim")
    )
    console.print(said(f'goal "{GOAL}", budget {usd(BUDGET)}\n'), soft_wrap=True)


def _account(console: Console, outcome: Outcome) -> None:
    status = outcome.status
    faults = [said(f"  WRONG: {fault}", "bold red") for fault in outcome.vendor_faults]
    agreement = said("  the vendors' own journal shows the same payments", "dim")
    shown = [
        trail(status.observations, status.page.total),
        "",
        books(outcome.books),
        *(faults or [agreement]),
        "",
        verdict(outcome.audited),
    ]
    for each in ["", *shown]:
        console.print(each, soft_wrap=True)


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo the way Ctrl-C does: with its servers stopped."""

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
