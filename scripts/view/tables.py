"""Lists of runs, vendors and API keys as Rich renderables. Pure; texts from outside go through `text`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.view.runs import state
from scripts.view.text import plain, said, usd

if TYPE_CHECKING:
    from scripts.client.keys import Key, Keys, NewKey
    from scripts.client.registry import Vendors
    from scripts.client.shapes import Parked, Runs

__all__ = ["keys_table", "new_key", "parked_table", "runs_table", "vendors_table"]


def runs_table(page: Runs) -> RenderableType:
    """Runs, newest first."""
    if not page.runs and not page.unreadable:
        return Text("no runs")
    table = _table("RUN", "STARTED", "STATUS", "LEFT", "OF", "USER", "GOAL")
    for run in page.runs:
        started = run.created_at.strftime("%Y-%m-%d %H:%M:%S")
        left, total = usd(run.budget_remaining), usd(run.budget_total)
        table.add_row(run.id, started, state(run.status), left, total, said(run.user_id), _short(run.goal))
    bad = [said(f"cannot be read by the server: {', '.join(page.unreadable)}", "red")] if page.unreadable else []
    more = [] if page.next_cursor is None else [said(f"more: purser runs --cursor {page.next_cursor}", "dim")]
    return Group(table, *bad, *more)


def parked_table(found: Parked) -> RenderableType:
    """Runs whose ticks keep failing."""
    if not found.runs:
        return Text("no runs are parked")
    table = _table("RUN", "USER", "STATUS", "FAILED", "NEXT TRY", "WHY")
    for run in found.runs:
        again = run.stumble.until.strftime("%Y-%m-%d %H:%M:%S")
        why = said(f"{run.stumble.code}: {run.stumble.message}")
        table.add_row(said(run.id), said(run.user_id), state(run.status), str(run.stumble.times), again, why)
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
    table = _table("KEY", "MADE", "STATE", "USER", "SCOPES", "PER DAY", "TOTAL", "RUNS", "PER MINUTE", "NAME")
    for key in page.keys:
        per_day, total = ("-" if each is None else usd(each) for each in (key.max_per_day, key.max_total))
        runs = "-" if key.max_running is None else str(key.max_running)
        scopes, made, rate = ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d}", str(key.requests_per_minute)
        cells = (said(key.id), made, _validity(key), said(key.user_id), said(scopes), per_day, total, runs, rate)
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


def _validity(key: Key) -> Text:
    if key.revoked_at is not None:
        return said("revoked", "red")
    return said("open", "green") if key.expires_at is None else said(f"until {key.expires_at:%Y-%m-%d %H:%M}")


def _short(text: str, limit: int = 60) -> Text:
    shown = plain(text)
    return Text(shown if len(shown) <= limit else f"{shown[: limit - 1]}…")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
