"""Each line of a log is one JSON object that says who, when, and what about, and holds no secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.process import logs
from agent.process.settings import Settings
from agent.secrets.vendor_secrets import seals_of, token_of
from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from scripts.serve.servers import ROOT, clean
from tests.agent.stage import registered

log = logging.getLogger("agent.test_logs")


class Kept(logging.Handler):
    """What a platform's handler would be given."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """As Vercel's does: the message, and the trace if there is one. Formatters are not asked."""
        assert not record.exc_info
        self.messages.append(record.getMessage())

    @property
    def last(self) -> dict[str, Any]:
        """The newest line."""
        found: dict[str, Any] = json.loads(self.messages[-1])
        return found


@pytest.fixture
def kept() -> Iterator[Kept]:
    """All that is logged, as it goes out."""
    kept = Kept()
    handler = logs.Rendering(kept)
    root, level = logging.getLogger(), log.level
    root.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    log.setLevel(level)


def test_a_line_says_who_when_and_what_about(kept: Kept) -> None:
    """One JSON object in the message itself."""
    with logs.about(requestId="r-1"), logs.about(runId="66a1"):
        log.warning("vendor %s is slow", "v1", extra={"seconds": 3, "vendor": {"name": "v1"}})
    inside = kept.last
    log.warning("after")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", inside.pop("timestamp"))
    assert inside == {
        "level": "warning",
        "event": "vendor v1 is slow",
        "logger": "agent.test_logs",
        "requestId": "r-1",
        "runId": "66a1",
        "seconds": 3,
        "vendor": {"name": "v1"},
    }
    assert "requestId" not in kept.last
    assert "\n" not in kept.messages[0]


async def test_tasks_do_not_share_what_they_are_about(kept: Kept) -> None:
    """Two runs that are ticked at a time keep their lines apart."""

    async def tick(run_id: str) -> None:
        with logs.about(runId=run_id):
            await asyncio.sleep(0)
            log.info("ticked %s", run_id)

    await asyncio.gather(*(tick(str(number)) for number in range(5)))

    for line in map(json.loads, kept.messages):
        assert line["event"] == f"ticked {line['runId']}"


def test_an_error_brings_its_type_and_a_bounded_trace(kept: Kept) -> None:
    """The end of it, where the error is; one line all the same."""
    try:
        raise ZeroDivisionError("of course " + "x" * 20_000 + " end")
    except ZeroDivisionError:
        log.exception("tick failed")

    assert kept.last["errorType"] == "ZeroDivisionError"
    assert kept.last["exception"].endswith(" end")
    assert len(kept.last["exception"]) == logs.MAX_TRACE
    assert "\n" not in kept.messages[-1]


def test_fields_are_bounded_and_secrets_go_before_anything_is_cut(kept: Kept) -> None:
    """Half a secret would not be known any more."""
    logs.keep_out("correct horse battery")
    text = "x" * (logs.MAX_TEXT - 10) + "correct horse battery"

    deep: dict[str, object] = {"list": [text] * 100, "x402Secret": "hidden", "a": {"b": {"c": {"d": [1]}}}}
    extra = {"data": deep, "authorization": "hidden", "big": 2**200, "raw": b"correct horse battery"}
    log.info("%s", text, extra=extra)

    line = kept.messages[-1]
    assert len(kept.last["event"]) <= logs.MAX_TEXT
    assert len(kept.last["data"]["list"]) == 50
    for secret in ("correct", "hidden"):
        assert secret not in line
    assert len(line) < 200_000


def test_a_record_that_cannot_be_rendered_is_not_shown_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """logging itself would print its arguments to stderr."""
    kept = Kept()
    logs.Rendering(kept).handle(logging.makeLogRecord({"msg": "two %s %s", "args": ("sesame-open",)}))

    assert "sesame-open" not in kept.messages[-1] + "".join(capfd.readouterr())
    assert "TypeError" in kept.last["event"]


def test_what_could_steer_a_terminal_is_not_passed_on() -> None:
    """Neither as JSON nor for people."""
    for human in (False, True):
        kept = Kept()
        handler = logs.Rendering(kept, human=human)
        said = {"name": "v", "levelno": 30, "levelname": "WARNING", "msg": "a\x1b]0;title\x07"}
        handler.handle(logging.makeLogRecord(said))
        assert "\x1b]0" not in kept.messages[0]
        assert "title" in kept.messages[0]


PROGRAM = """
import logging, sys
from agent.process import logs
if sys.argv[1] == "platform":
    logging.basicConfig(level=logging.INFO, format="PLATFORM %(message)s", stream=sys.stdout)
logging.config = __import__("logging.config").config
import uvicorn.config
logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
logs.configure(platform=sys.argv[1] == "platform")
logs.configure(platform=sys.argv[1] == "platform")
assert "structlog" not in sys.modules, "slow to import, and nothing has been logged yet"
logging.getLogger("uvicorn.error").info("started")
logging.getLogger("uvicorn.access").info("GET /")
logging.getLogger("agent.engine.tick").info("ticked")
logging.getLogger("httpx").info("chatter")
logging.getLogger("httpx").warning("others too")
"""


@pytest.mark.parametrize("where", ["platform", "server"])
def test_a_process_logs_everything_through_one_place(where: str) -> None:
    """On a platform through its own handler, elsewhere to stderr; ours from info, others' from warning."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, where],
        cwd=ROOT,
        env=clean({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    said, silent = (done.stdout, done.stderr) if where == "platform" else (done.stderr, done.stdout)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines] == ["started", "ticked", "others too"]
    assert silent == ""


def test_what_is_learnt_from_the_environment_is_kept_out(
    monkeypatch: pytest.MonkeyPatch, kept: Kept, tmp_path: Path
) -> None:
    """Every secret setting, and the keystore's password, which comes from a file."""
    from agent.process.held_keys import keystore_password
    from agent.process.settings import load_settings

    secrets = {
        "MONGODB_URI": "mongodb://u:pass-of-mongo@127.0.0.1:1",
        "API_TOKEN": "token-of-the-operator",
        "CRON_SECRET": "secret-of-the-cron",
        "GPU_VENDOR_SECRET": "secret-of-vendor",
        "GPU_VENDOR_SECRET_EU": "secret-of-eu",
        "FIREWORKS_API_KEY": "key-of-fireworks",
        "CDP_API_KEY_SECRET": "secret-of-cdp",
        "CDP_WALLET_SECRET": "secret-of-wallet",
        "NONCE_SECRET": "secret-of-nonces-which-must-be-long",
        "PURSER_KEYSTORE_PASSWORD": "password-of-keystore",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("password-of-file\n")

    settings = load_settings()
    keystore_password(None, str(file))
    log.info("%s", " | ".join([*secrets.values(), "pass-of-mongo", "password-of-file"]))

    assert set(settings.secrets) == set(secrets.values())
    for secret in [*secrets.values(), "pass-of-mongo", "password-of-file"]:
        assert secret not in kept.messages[-1]


def test_a_vendors_sealed_token_is_kept_out_once_it_is_open(kept: Kept) -> None:
    """No setting holds it."""
    settings = Settings.model_validate({"sealing_keys": "5a" * 32})
    vendor = registered(DEFAULT_CATALOG[0], pinned=True)
    sealed = seals_of(settings).seal("token-that-was-sealed", vendor.token_for)

    log.info("sent %s", token_of(settings, replace(vendor, secret_ref=None, sealed_secret=sealed)))

    assert kept.last["event"] == "sent [redacted]"


def test_a_secret_that_the_cut_would_halve_is_not_shown(kept: Kept) -> None:
    """At the end of a field, at the beginning of a trace, however long it is."""
    secret = "halved-by-the-cut-" + "y" * 70_000
    logs.keep_out(secret)
    log.info("x" * (logs.MAX_TEXT - 10) + secret, exc_info=_raised(secret + "x" * (logs.MAX_TRACE - 60)))

    assert "xxx" in kept.last["event"]
    assert "xxx" in kept.last["exception"]
    assert not re.search("halved|yyy", kept.messages[-1])


def test_a_long_text_costs_no_more_than_what_is_shown_of_it(kept: Kept) -> None:
    """Megabytes from a stranger are not looked through for two thousand characters."""
    start = time.process_time()
    log.info("x" * 20_000_000)

    assert time.process_time() - start < 0.5
    assert len(kept.last["event"]) == logs.MAX_TEXT


def _raised(said: str) -> Exception:
    try:
        raise ValueError(said)
    except ValueError as exc:
        return exc


def test_stderr_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log must not bring down what it is about."""
    closed = io.StringIO()
    closed.close()
    handler = logs._Stderr()
    monkeypatch.setattr(sys, "stderr", closed)

    handler.handle(logging.makeLogRecord({"msg": "x"}))
