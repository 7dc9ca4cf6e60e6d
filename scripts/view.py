"""The API's answers as Rich renderables. Pure; every text from outside goes through `scripts.text`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scripts.books import Books
from scripts.client import Refused
from scripts.entries import trail_line
from scripts.epochs import Epoch
from scripts.shapes import Job, Key, Keys, NewKey, Observation, Parked, Run, Runs, Status, Ticked, Vendors
from scripts.text import plain, said, usd

if TYPE_CHECKING:
    from scripts.audit import Audited

__all__ = [
    "ENDED",
    "Bar",
    "books",
    "keys_table",
    "new_key",
    "parked_table",
    "problem",
    "run_line",
    "runs_table",
    "status_view",
    "ticked",
    "trail",
    "vendors_table",
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
_AMOUNT_WIDTH: Final = 14

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
        _status(run.status),
        f" ({plain(run.phase)}), tick {run.tick}, ",
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


def status_view(status: Status, sums: Books) -> RenderableType:
    """All that is known of a run: its goal, jobs, books and the newest of its trail."""
    blocks: list[RenderableType] = [run_line(status.run), said(f"goal: {status.run.goal}", "dim")]
    if status.jobs:
        blocks += ["", _title("Jobs"), *(_job(job) for job in status.jobs)]
    blocks += ["", books(sums), "", trail(status.observations, status.page.total)]
    return Group(*blocks)


def trail(entries: Sequence[Observation], total: int) -> RenderableType:
    """The audit trail, or the newest part of it."""
    which = "" if len(entries) == total else f" (the last {len(entries)} of {total})"
    return Group(_title(f"Audit trail{which}"), *map(trail_line, entries))


def books(sums: Books) -> RenderableType:
    """The books: each payment a line, the sum beneath, and whatever does not add up."""
    width = max([len("remaining"), *(len(plain(each.vendor_id)) for each in sums.payments)])
    lines = [_amount("budget", width, usd(sums.total))]
    for each in sums.payments:
        line = (
            _amount(each.vendor_id, width, f"- {usd(each.amount)}").append("  ").append_text(_status(each.status))
        )
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
    head = Text.assemble("Audit of run ", (plain(audited.run_id), "bold"), ": ")
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


def runs_table(page: Runs) -> RenderableType:
    """Runs, newest first."""
    if not page.runs:
        return Text("no runs")
    table = _table("RUN", "STARTED", "STATUS", "LEFT", "OF", "USER", "GOAL")
    for run in page.runs:
        started = run.created_at.strftime("%Y-%m-%d %H:%M:%S")
        left, total = usd(run.budget_remaining), usd(run.budget_total)
        table.add_row(run.id, started, _status(run.status), left, total, said(run.user_id), _short(run.goal))
    more = [] if page.next_cursor is None else [said(f"more: purser runs --cursor {page.next_cursor}", "dim")]
    return Group(table, *more)


def parked_table(found: Parked) -> RenderableType:
    """Runs whose ticks keep failing."""
    if not found.runs:
        return Text("no runs are parked")
    table = _table("RUN", "USER", "STATUS", "FAILED", "NEXT TRY", "WHY")
    for run in found.runs:
        again = run.stumble.until.strftime("%Y-%m-%d %H:%M:%S")
        why = said(f"{run.stumble.code}: {run.stumble.message}")
        table.add_row(said(run.id), said(run.user_id), _status(run.status), str(run.stumble.times), again, why)
    return table


def vendors_table(registry: Vendors) -> RenderableType:
    """The registry."""
    if not registry.vendors:
        return Text("no vendors: purser vendors seed makes two, purser vendors add registers one")
    table = _table("VENDOR", "NAME", "PER HOUR", "SCORE", "DONE/FAILED", "GPUS", "ENDPOINT")
    for each in registry.vendors:
        record = f"{each.record.completed}/{each.record.failed}"
        score, gpus = f"{each.reliability_score:.4g}", ", ".join(each.supported_gpu_types)
        price = usd(each.base_price_per_hour)
        cells = (said(each.vendor_id), _short(each.name), price, score, record, _short(gpus), said(each.endpoint))
        table.add_row(*cells)
    return table


def keys_table(page: Keys) -> RenderableType:
    """API keys, newest first."""
    if not page.keys:
        return Text("no API keys: purser keys create makes one")
    table = _table("KEY", "MADE", "STATE", "USER", "SCOPES", "PER DAY", "TOTAL", "PER MINUTE", "NAME")
    for key in page.keys:
        per_day, total = ("-" if each is None else usd(each) for each in (key.max_per_day, key.max_total))
        scopes, made, rate = ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d}", str(key.requests_per_minute)
        cells = (said(key.id), made, _state(key), said(key.user_id), said(scopes), per_day, total, rate)
        table.add_row(*cells, _short(key.name))
    more = [] if page.next_cursor is None else [said(f"more: purser keys list --cursor {page.next_cursor}", "dim")]
    return Group(table, *more)


def new_key(key: NewKey) -> RenderableType:
    """A key that was made, with its token."""
    return Group(
        Text.assemble("made ", (plain(key.id), "bold"), " for ", plain(key.user_id)),
        Text(plain(key.token), "bold"),
        said("this is shown once: keep it now, and set API_TOKEN to it where purser is to use it", "dim"),
    )


def problem(refusal: Refused) -> RenderableType:
    """Why the server refused: code, detail, and the fields at fault that the detail does not name already."""
    head = Text.assemble(("refused ", "bold red"), (plain(refusal.code), "bold"), ": ", said(refusal.detail))
    faults = [f"{field}: {message}" for field, message in refusal.fields]
    lines = [said(f"  {fault}") for fault in faults if fault not in refusal.detail]
    if refusal.code == "unauthorized":
        lines.append(said("  this command sends API_TOKEN, from the environment or from .env", "dim"))
    if refusal.code == "internal_error" and refusal.request_id:
        lines.append(said(f"  for who runs the server: request {refusal.request_id} in its log", "dim"))
    return Group(head, *lines)


def _amount(name: str, width: int, amount: str) -> Text:
    return Text.assemble(f"  {plain(name):<{width}}  ", (f"{amount:>{_AMOUNT_WIDTH}}", "bold"))


def _job(job: Job) -> Text:
    cost = job.expected_cost if job.actual_cost is None else job.actual_cost
    line = Text.assemble(
        said(f"  {job.vendor_id}  {job.job_params.gpu_type}, {plain(job.job_params.max_hours)} h  "),
        _status(job.status),
        f"  {job.progress:.0f} %  {usd(cost)}",
    )
    if job.failure is not None:
        line.append_text(said(f"  {job.failure.code}: {job.failure.message}", "red"))
    return line.append_text(said(f"  {job.artifact_url}", "dim")) if job.artifact_url else line


def _state(key: Key) -> Text:
    if key.revoked_at is not None:
        return said("revoked", "red")
    return said("open", "green") if key.expires_at is None else said(f"until {key.expires_at:%Y-%m-%d %H:%M}")


def _status(status: str) -> Text:
    return said(status, _STATUS_STYLE.get(status, ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _title(text: str) -> Text:
    return Text(text, style="bold underline")


def _faults(faults: Sequence[str]) -> list[Text]:
    return [said(f"  WRONG: {fault}", "bold red") for fault in faults]


def _short(text: str, limit: int = 60) -> Text:
    shown = plain(text)
    return Text(shown if len(shown) <= limit else f"{shown[: limit - 1]}…")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
