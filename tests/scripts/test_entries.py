"""Observations as lines for people."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from scripts.view.entries import entry, trail_line
from tests.scripts.samples import HOSTILE, drawn, observation


def shown(kind: str, content: str, **data: JsonValue) -> str:
    """The entry as a file would get it."""
    return drawn(entry(observation(1, kind, content, **data)))


def test_a_plan_shows_action_and_reason() -> None:
    """What was decided, by whom, and why."""
    text = shown(
        "agent_reasoning",
        "it is cheapest",
        action={"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 1.0},
        planner="stub",
        fallback=None,
    )

    assert text == "     plan  start a job at gpu_vendor_1 for 1 h  (stub)\n           it is cheapest\n"


def test_a_plan_of_the_stub_in_place_of_a_model_says_why() -> None:
    """The fallback is never hidden."""
    text = shown("agent_reasoning", "wait", action={"action": "wait", "seconds": 30}, fallback="429 twice")

    assert "wait 30 s" in text
    assert "the stub decided: 429 twice" in text


@pytest.mark.parametrize("data", [{}, {"action": None}, {"action": "start_job"}])
def test_a_plan_without_an_action_shows_its_reason(data: dict[str, JsonValue]) -> None:
    """Data of a shape that this command does not know is passed over."""
    assert shown("agent_reasoning", "no idea", **data) == "     plan  no idea\n"


def test_a_quote_shows_price_and_what_for() -> None:
    """Price, GPU, hours and time to completion."""
    text = shown("quote", "gpu_vendor_1 quotes 1.4 USD", gpuType="A100", maxHours=1.0, etaMinutes=1.0)

    assert text == "    quote  gpu_vendor_1 quotes 1.4 USD  A100, 1 h, done in 1 min\n"


def test_a_settled_payment_shows_its_whole_transaction_id() -> None:
    """The id can be copied."""
    text = shown("payment_event", "paid 1.4 USD", transaction="0x" + "ab" * 32, network="eip155:84532")

    assert f"transaction 0x{'ab' * 32}  eip155:84532" in text


def test_a_completed_job_shows_metrics_and_artifact() -> None:
    """What the money bought."""
    text = shown(
        "job_completed", "done", finalMetrics={"loss": 1.1, "epochs": 5.0}, artifactUrl="https://a.example/m"
    )

    assert text.splitlines()[1:] == ["           loss 1.1  epochs 5", "           https://a.example/m"]


def test_an_unknown_kind_is_shown_under_its_own_name() -> None:
    """A newer server may write kinds that this command has never heard of."""
    assert shown("tax_event_of_tomorrow", "x") == "tax_event  x\n"


def test_a_kind_is_data_too() -> None:
    """Even the label comes from a server."""
    assert shown("\x1b[31m", "x") == "    \ufffd[31m  x\n"


KINDS = [
    "run_started",
    "agent_reasoning",
    "quote",
    "payment_event",
    "job_submitted",
    "job_log",
    "job_completed",
    "job_failed",
    "error",
    "run_completed",
    HOSTILE,
]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_stays_text_wherever_it_stands(kind: str) -> None:
    """Content, kind and every field of the data: no control character, no markup, nothing interpreted."""
    fields = ("planner", "fallback", "gpuType", "maxHours", "etaMinutes", "transaction", "network", "artifactUrl")
    data: dict[str, JsonValue] = {
        **dict.fromkeys(fields, HOSTILE),
        "action": {"action": "start_job", "vendorId": HOSTILE, "maxHours": HOSTILE},
        "finalMetrics": {HOSTILE: HOSTILE},
    }
    seen = observation(1, kind, HOSTILE, **data)

    text = drawn(entry(seen), trail_line(seen))

    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[bold red]markup[/bold red]" in text
    assert "<script>alert(1)</script> &amp;" in text


def test_a_terminal_gets_long_text_wrapped_beneath_itself() -> None:
    """Wrapped lines are indented, so that labels stand alone."""
    lines = drawn(entry(observation(1, "error", "word " * 60)), terminal=True).splitlines()

    assert len(lines) > 1
    assert all("word" in line for line in lines)
    assert all(len(line) < 160 for line in lines)


def test_a_file_gets_long_text_on_one_line() -> None:
    """What is piped can be searched line by line."""
    assert len(drawn(entry(observation(1, "error", "word " * 60))).splitlines()) == 1


def test_a_trail_line_has_number_time_and_kind() -> None:
    """Times are UTC."""
    assert drawn(trail_line(observation(12, "job_log", "hello"))) == "   12  08:00:00  job_log           hello\n"
