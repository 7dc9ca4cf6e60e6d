"""Logs: one JSON object per line, with what a request or a run is about, and without secrets.

Everybody logs through `logging.getLogger(__name__)`, fields in `extra`; structlog renders what arrives, ours and
others' alike. It is imported with the first line: a function that starts cold should not wait for it.

Where a platform has put its own handler, the line goes through that one as the record's whole message: Vercel's
looks at nothing else, and knows which invocation the line belongs to.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from agent.process.redaction import Redactor

if TYPE_CHECKING:
    from structlog.stdlib import ProcessorFormatter

__all__ = ["about", "configure", "keep_out"]

MAX_TEXT: Final = 2_000
"""Characters of a field that are kept."""

MAX_TRACE: Final = 8_000
"""Characters of a stack trace that are kept: its end, where the error is."""

_MARGIN: Final = 65_536

_OURS: Final = ("agent", "api", "scripts", "vendors", "x402")
_UVICORN: Final = ("uvicorn", "uvicorn.access", "uvicorn.error", "uvicorn.asgi")
_SECRET_NAME: Final = ("authorization", "password", "private", "secret", "signature", "token")
_DEPTH: Final = 4
_ENTRIES: Final = 50

_about: ContextVar[Mapping[str, str]] = ContextVar("purser_log_about", default={})  # noqa: B039 (never changed in place)
_redact: Final = Redactor()

_Event = MutableMapping[str, Any]


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Every line that is logged in this block, in this task and those it starts, bears these fields."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def keep_out(*secrets: str) -> None:
    """These values, and the forms they may be quoted in, are taken out of every line from now on."""
    _redact.learn(secrets)


def configure(*, platform: bool) -> None:
    """Send all logs of this process through here; doing it again changes nothing. To be called where it starts.

    `platform`: speak through the handlers that are there already. Elsewhere lines go to stderr: JSON, or to a
    terminal for people.
    """
    root = logging.getLogger()
    if any(isinstance(handler, Rendering) for handler in root.handlers):
        return
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # api/_middleware.py has a line for each request
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    if platform:
        through, root.handlers[:] = list(root.handlers), []
        root.setLevel(logging.WARNING)
        root.addHandler(Rendering(*(through or [_Stderr()])))
    else:
        root.addHandler(Rendering(_Stderr(), human=sys.stderr.isatty()))


class Rendering(logging.Handler):
    """Makes a record its line and has others write it. They get the line as the message and nothing else."""

    def __init__(self, *through: logging.Handler, human: bool = False) -> None:
        """`human`: for a terminal, in colour."""
        super().__init__()
        self._through = through
        self._human = human
        for handler in through:
            handler.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises, and never shows the record as it was."""
        try:
            line = self._formatter.format(record)
        except Exception as exc:
            said = f"a record of {record.module} cannot be logged: {type(exc).__name__}"
            line = json.dumps({"level": "error", "event": said})
        bare = {"exc_info": None, "exc_text": None, "stack_info": None, "args": (), "msg": line}
        for handler in self._through:
            handler.handle(logging.makeLogRecord({**record.__dict__, **bare}))

    @cached_property
    def _formatter(self) -> ProcessorFormatter:
        import structlog  # slow to import, see above

        renderer = structlog.dev.ConsoleRenderer() if self._human else structlog.processors.JSONRenderer()
        return structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[
                _complete,
                structlog.processors.format_exc_info,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _clean,
                renderer,
            ],
        )


class _Stderr(logging.Handler):
    """Writes to whatever stderr is just then: tests and servers exchange it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # stderr is closed: there is nobody left to tell


def _complete(_: object, __: str, event: _Event) -> _Event:
    """Who says it and when, of which request and run, and the kind of error."""
    record: logging.LogRecord = event["_record"]
    for copy in ("message", "asctime", "color_message"):  # left on the record by another handler, or uvicorn
        event.pop(copy, None)
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields = {
        "timestamp": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": event.pop("event"),
        "logger": record.name,
        **_about.get(),
    }
    error = (event.get("exc_info") or (None,))[0]
    if error is not None:
        fields["errorType"] = error.__name__
    return {**fields, **{name: value for name, value in event.items() if name not in fields}}


def _clean(_: object, __: str, event: _Event) -> _Event:
    """Bounded, without secrets, and without what could steer a terminal."""
    trace = event.pop("exception", None)
    cleaned = {name: _safe(name, value, _DEPTH) for name, value in event.items()}
    if trace is not None:
        cleaned["exception"] = _printable(str(trace)[-(MAX_TRACE + _margin()) :])[-MAX_TRACE:]
    return cleaned


def _safe(name: str, value: object, depth: int) -> object:
    if any(word in name.lower() for word in _SECRET_NAME):
        return "[redacted]"
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and value.bit_length() < 64:
        return value
    if depth and isinstance(value, Mapping):
        pairs = list(value.items())[:_ENTRIES]
        return {_text(str(key)): _safe(str(key), each, depth - 1) for key, each in pairs}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_safe("", each, depth - 1) for each in list(value)[:_ENTRIES]]
    return _text(str(value))


def _text(value: str) -> str:
    return _printable(value[: MAX_TEXT + _margin()])[:MAX_TEXT]


def _margin() -> int:
    """Characters beyond those kept that are looked at: half of a secret would not be known any more."""
    return max(_MARGIN, _redact.longest)


def _printable(value: str) -> str:
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in _redact(value))
