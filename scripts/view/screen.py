"""Where a run's story is shown: a terminal with a live progress bar, or plain lines where there is none."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live

from scripts.client.shapes import Status
from scripts.view.runs import ENDED, Bar, waiting
from scripts.view.story import Story

__all__ = ["Screen"]


class Screen:
    """Shows one run. To be used in a `with` block."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown yet."""
        self._console = console
        self._story = Story()
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, status: Status) -> None:
        """Show what is new, and where the jobs stand, or until when nothing happens."""
        pieces = list(self._story.tell(status))
        if self._live is not None:
            bars = self._story.bars(status)
            self._live.update(Group(*bars) if bars else waiting(status.run))
        for piece in pieces:
            # In a terminal the bar moves below the lines; only its last state is worth a line of its own.
            if self._live is None or not isinstance(piece, Bar) or piece.status in ENDED:
                self._console.print(piece, soft_wrap=True)
        if self._live is not None:
            self._live.refresh()
