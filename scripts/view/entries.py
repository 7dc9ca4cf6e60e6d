"""Observations as lines for people. Pure: an observation in, what to print out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from scripts.client.shapes import Observation
from scripts.view.text import plain, said

__all__ = ["Entry", "entry", "trail_line"]

_LABEL_WIDTH: Final = 9
_INDENT: Final = _LABEL_WIDTH + 2
_LEAST_WIDTH: Final = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A label and a text beside it. A terminal gets it wrapped under itself, a file gets it as it is."""

    label: str
    style: str
    body: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        width = max(_LEAST_WIDTH, options.max_width - _INDENT)
        lines = self.body.wrap(console, width) if console.is_terminal else self.body.split("\n")
        for number, line in enumerate(lines):
            label = self.label if number == 0 else ""
            yield Text.assemble((f"{label:>{_LABEL_WIDTH}}  ", self.style), line)


def entry(seen: Observation) -> Entry:
    """The observation as a line (or a few) of a run's story."""
    label, style = _LABELS.get(seen.type, (seen.type[:_LABEL_WIDTH], ""))
    lines = _BODIES.get(seen.type, _content)(seen)
    return Entry(plain(label), style, Text("\n").join(lines))


def trail_line(seen: Observation) -> Text:
    """The observation as a line of the audit trail: number, time (UTC), type, what happened."""
    when = seen.timestamp.strftime("%H:%M:%S")
    return Text.assemble(
        (f"{seen.seq:>5}  {when}  ", "dim"), (f"{plain(seen.type):<16}  ", _style(seen)), said(seen.content)
    )


def _style(seen: Observation) -> str:
    return _LABELS.get(seen.type, ("", ""))[1]


def _content(seen: Observation) -> list[Text]:
    return [said(seen.content)]


def _plan(seen: Observation) -> list[Text]:
    action = seen.data.get("action")
    planner = _of(seen.data, "planner")
    if not isinstance(action, dict):
        return _content(seen)
    head = Text.assemble((plain(_action(action)), "bold"), (f"  ({plain(planner)})" if planner else "", "dim"))
    fallback = _of(seen.data, "fallback")
    return [head, said(seen.content), *([said(f"the stub decided: {fallback}", "dim")] if fallback else [])]


def _action(action: Mapping[str, object]) -> str:
    kind = _of(action, "action")
    if kind == "start_job":
        return f"start a job at {_of(action, 'vendorId')} for {_of(action, 'maxHours')} h"
    return f"wait {_of(action, 'seconds')} s" if kind == "wait" else kind


def _quote(seen: Observation) -> list[Text]:
    gpu, hours, eta = (_of(seen.data, key) for key in ("gpuType", "maxHours", "etaMinutes"))
    return [Text.assemble(said(seen.content), said(f"  {gpu}, {hours} h, done in {eta} min", "dim"))]


def _payment(seen: Observation) -> list[Text]:
    transaction, network = _of(seen.data, "transaction"), _of(seen.data, "network")
    if not transaction:
        return _content(seen)
    return [said(seen.content), said(f"transaction {transaction}  {network}".rstrip(), "dim")]


def _completed(seen: Observation) -> list[Text]:
    metrics, artifact = seen.data.get("finalMetrics"), _of(seen.data, "artifactUrl")
    lines = _content(seen)
    if isinstance(metrics, dict) and metrics:
        lines.append(said("  ".join(f"{name} {plain(value)}" for name, value in metrics.items()), "dim"))
    return [*lines, *([said(artifact, "dim")] if artifact else [])]


def _of(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    return "" if value is None else plain(value)


_LABELS: Final = {
    "run_started": ("run", "bold"),
    "agent_reasoning": ("plan", "cyan"),
    "quote": ("quote", "blue"),
    "payment_event": ("payment", "green"),
    "job_submitted": ("job", "magenta"),
    "job_progress": ("job", "magenta"),
    "job_log": ("log", "dim"),
    "job_completed": ("done", "bold green"),
    "job_failed": ("failure", "bold red"),
    "error": ("error", "red"),
    "metric": ("metric", "dim"),
    "phase": ("phase", "dim"),
    "run_recovered": ("run", "bold yellow"),
    "run_completed": ("end", "bold green"),
    "run_failed": ("end", "bold red"),
    "run_cancelled": ("end", "bold yellow"),
}

_BODIES: Final[dict[str, Callable[[Observation], list[Text]]]] = {
    "agent_reasoning": _plan,
    "quote": _quote,
    "payment_event": _payment,
    "job_completed": _completed,
}
