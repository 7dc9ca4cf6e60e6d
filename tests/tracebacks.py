"""What the chattiest of tools would show of an error."""

from __future__ import annotations

import io
import traceback

from rich.console import Console
from rich.traceback import Traceback

_ALL = 10_000


def shown(error: BaseException, *, skip: int = 0) -> str:
    """Its tracebacks, every frame's locals in full. `skip` leaves out that many outermost frames: the test's."""
    frames = error.__traceback__
    for _ in range(skip):
        frames = frames and frames.tb_next
    error = error.with_traceback(frames)
    drawn = io.StringIO()
    picture = Traceback.from_exception(
        type(error), error, frames, show_locals=True, locals_max_string=_ALL, locals_max_length=_ALL
    )
    Console(file=drawn, width=_ALL).print(picture)
    return drawn.getvalue() + "".join(traceback.format_exception(error))
