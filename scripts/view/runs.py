"""A run, its trail and its books as Rich renderables. Pure; texts from outside go through `scripts.view.text`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scripts.audit.books import Books
from scripts.client.errors import Refused
from scripts.client.shapes import Job, Observation, Run, Status, Ticked
from scripts.view.entries import trail_line
from scripts.view.epochs import Epoch
from scripts.view.text import plain, said, usd

if TYPE_CHECKING:
    from scripts.audit.heads import Root
    from scripts.audit.judge import Audited

__all__ = [
    "ENDED",
    "Bar",
    "books",
    "problem",
    "root_view",
    "run_line",
    "state",
    "status_view",
    "ticked",
    "trail",
    "verdict",
    "verdicts",
    "waiting",
]

_STATUS_STYLE: Final = {
    "running": "cyan",
    "completed": "bold green",
    "failed": "bold red",
    "cancelled": "bold yellow",
    "unresolved": "red",
    "pending": "yellow",
}
_BAR_WIDTH: Final = 30
_FAULT: Final = 500
_AMOUNT_WIDTH: Final = 14
_RUN_ID: Final = re.compile("[0-9a-f]{24}")

ENDED: Final = ("completed", "failed")
"""Job states that nothing follows."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A job's progress, in per cent, with epoch and loss where its log tells them."""

    vendor_id: str
    percent: float
    epoch: Epoch | None
    status: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol: a drawn bar in a terminal, one plain line elsewhere."""
        if not console.is_terminal:
            done = round(_BAR_WIDTH * self.percent / 100)
            yield Text.assemble("           [", "#" * done, "." * (_BAR_WIDTH - done), "]  ", self._words())
            return
        style = {"failed": "red", "completed": "green"}.get(self.status, "cyan")
        row = Table.grid(padding=(0, 2, 0, 0))
        drawn = ProgressBar(100, self.percent, width=_BAR_WIDTH, complete_style=style, finished_style=style)
        row.add_row(" " * 9, drawn, self._words())
        yield row

    def _words(self) -> Text:
        words = [f"{self.percent:3.0f} %", plain(self.vendor_id)]
        if self.epoch is not None:
            words.append(f"epoch {self.epoch.number}/{self.epoch.count}  loss {self.epoch.loss}")
        return Text("  ".join([*words, *([self.status] if self.status in ENDED else [])]))


def run_line(run: Run) -> Text:
    """A run on one line (two with its failure)."""
    line = Text.assemble(
        (plain(run.id), "bold"),
        "  ",
        state(run.status),
        f" ({plain(run.phase)})" if run.status == "running" else "",  # of an ended run it says the same again
        f", tick {run.tick}, ",
        f"{usd(run.budget_remaining)} of {usd(run.budget_total)} left",
        f", {usd(run.budget_reserved)} reserved" if run.budget_reserved else "",
    )
    if run.failure is not None:
        line.append_text(said(f"\n{run.failure.code}: ", "red")).append_text(said(run.failure.message))
    return line


def waiting(run: Run) -> Text:
    """Until when nothing is going to happen; empty for a run that has ended."""
    if run.next_tick_at is None:
        return Text()
    return said(f"           {run.phase}, next tick at {run.next_tick_at:%H:%M:%S} UTC", "dim")


def ticked(answer: Ticked) -> RenderableType:
    """What a tick or a cancel did."""
    lines: list[RenderableType] = [said(answer.message, "bold")]
    if answer.action is not None and "reason" in answer.action:
        lines.append(said(answer.action["reason"], "dim"))
    return Group(*lines, run_line(answer.run))


def status_view(status: Status, sums: Books, now: datetime) -> RenderableType:
    """All that is known of a run: its goal, jobs, books and the newest of its trail."""
    blocks: list[RenderableType] = [run_line(status.run), said(f"goal: {status.run.goal}", "dim")]
    if status.jobs:
        blocks += ["", _title("Jobs"), *(_job(job) for job in status.jobs)]
    blocks += [
        "",
        books(sums),
        *_chain_readings(status.run, now),
        "",
        trail(status.observations, status.page.total),
    ]
    return Group(*blocks)


def _chain_readings(run: Run, now: datetime) -> list[Text]:
    """How old is what the chain last showed of the authorizations that are out."""
    return [
        said(
            f"  the chain shows nothing of the payment to {each.vendor_id} yet: "
            f"read {max(0, round((now - each.chain_seen_at).total_seconds()))} s ago",
            "dim",
        )
        for each in run.reservations.values()
        if each.chain_seen_at is not None
    ]


def trail(entries: Sequence[Observation], total: int) -> RenderableType:
    """The audit trail, or the newest part of it."""
    which = "" if len(entries) == total else f" (the last {len(entries)} of {total})"
    return Group(_title(f"Audit trail{which}"), *map(trail_line, entries))


def books(sums: Books) -> RenderableType:
    """The books: each payment a line, the sum beneath, and whatever does not add up."""
    width = max([len("remaining"), *(len(plain(each.vendor_id)) for each in sums.payments)])
    lines = [_amount("budget", width, usd(sums.total))]
    for each in sums.payments:
        line = _amount(each.vendor_id, width, f"- {usd(each.amount)}").append("  ").append_text(state(each.status))
        lines.append(line.append_text(said(f"  {each.transaction or 'no transaction'}", "dim")))
    if sums.reserved:
        lines.append(_amount("reserved", width, f"- {usd(sums.reserved)}"))
    lines.append(_amount("remaining", width, usd(sums.remaining)))
    parts = [("remaining", sums.remaining), ("reserved", sums.reserved), ("spent", sums.spent)]
    shown = [(name, amount) for name, amount in parts if amount or name != "reserved"]
    left = " + ".join(f"{name} {usd(amount)}" for name, amount in shown)
    return Group(_title("Books"), *lines, Text(f"  total {usd(sums.total)} = {left}"), *_faults(sums.faults))


def verdict(audited: Audited) -> RenderableType:
    """The audit's verdict on a run: one line, and what it found beneath."""
    what = "run " if _RUN_ID.fullmatch(audited.run_id) else ""  # a file that is no export has a name
    head = Text.assemble(f"Audit of {what}", (plain(audited.run_id), "bold"), ": ")
    if audited.faults:
        return Group(head.append("does NOT verify", "bold red"), *_faults(audited.faults))
    counts = ", ".join(
        _count(number, noun)
        for number, noun in (
            (audited.observations, "observation"),
            (audited.payments, "payment"),
            (audited.jobs, "job"),
        )
    )
    return head.append("verified", "bold green").append(f" ({counts}: no gaps, every hash and every sum is right)")


def verdicts(checked: int, faulty: int) -> Text:
    """The audit of all runs, summed up."""
    return Text(f"{_count(checked, 'run')} checked, {faulty} with findings")


def root_view(root: Root) -> RenderableType:
    """The root alone on its line, to be copied, and what it is over."""
    head = Text(f"Root of {_count(root.runs, 'run')} at {root.at:%Y-%m-%d %H:%M:%S} UTC")
    faults = [f"run {run_id} cannot be read: its head is left out" for run_id in root.unreadable]
    return Group(head, Text(root.hash, "bold"), *_faults(faults))


def problem(refusal: Refused) -> RenderableType:
    """Why the server refused: code, detail, and the fields at fault that the detail does not name already."""
    head = Text.assemble(("refused ", "bold red"), (plain(refusal.code), "bold"), ": ", said(refusal.detail))
    faults = [f"{field}: {message}" for field, message in refusal.fields]
    lines = [said(f"  {fault}") for fault in faults if fault not in refusal.detail]
    if refusal.code == "unauthorized":
        lines.append(said("  this command sends API_TOKEN, from the environment or from .env", "dim"))
    if refusal.status == _FAULT and refusal.request_id:
        lines.append(said(f"  for who runs the server: request {refusal.request_id} in its log", "dim"))
    return Group(head, *lines)


def _amount(name: str, width: int, amount: str) -> Text:
    return Text.assemble(f"  {plain(name):<{width}}  ", (f"{amount:>{_AMOUNT_WIDTH}}", "bold"))


def _job(job: Job) -> Text:
    cost = job.expected_cost if job.actual_cost is None else job.actual_cost
    line = Text.assemble(
        said(f"  {job.vendor_id}  {job.job_params.gpu_type}, {plain(job.job_params.max_hours)} h  "),
        state(job.status),
        f"  {job.progress:.0f} %  {usd(cost)}",
    )
    if job.failure is not None:
        line.append_text(said(f"  {job.failure.code}: {job.failure.message}", "red"))
    return line.append_text(said(f"  {job.artifact_url}", "dim")) if job.artifact_url else line


def state(status: str) -> Text:
    """The status of a run, a job or a payment, in its colour."""
    return said(status, _STATUS_STYLE.get(status, ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _title(text: str) -> Text:
    return Text(text, style="bold underline")


def _faults(faults: Sequence[str]) -> list[Text]:
    return [said(f"  WRONG: {fault}", "bold red") for fault in faults]
