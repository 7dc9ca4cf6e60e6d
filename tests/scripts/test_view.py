"""Answers of the API as people see them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import JsonValue
from rich.console import RenderableType

from scripts.audit.books import Books, books_of
from scripts.audit.judge import Audited
from scripts.client.errors import Refused
from scripts.client.shapes import Ticked
from scripts.view import runs as view
from scripts.view import tables
from scripts.view.epochs import Epoch
from tests.scripts.samples import (
    HOSTILE,
    RUN_ID,
    drawn,
    job_json,
    observation_json,
    payment,
    payment_json,
    run,
    run_json,
    runs,
    status,
    vendor_json,
    vendors,
)

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def test_the_books_show_each_payment_and_the_sum() -> None:
    """total = remaining + spent, each payment a line with its transaction."""
    second = payment(vendorId="gpu_vendor_2", amount=1.8, x402TxId="0xbb")
    text = drawn(view.books(books_of(run(budgetRemaining=1.8, budgetSpent=3.2), [payment(), second])))

    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "Books",
        "budget 5 USD",
        "gpu_vendor_1 - 1.4 USD completed 0xaa",
        "gpu_vendor_2 - 1.8 USD completed 0xbb",
        "remaining 1.8 USD",
        "total 5 USD = remaining 1.8 USD + spent 3.2 USD",
    ]


def test_reserved_money_is_part_of_the_sum_while_there_is_some() -> None:
    """The identity that is shown is the one that holds."""
    text = drawn(view.books(Books(5_000_000, 2_000_000, 3_000_000, 0, (), ())))

    assert "total 5 USD = remaining 2 USD + reserved 3 USD + spent 0 USD" in text


def test_books_that_do_not_balance_say_so() -> None:
    """A fault is not to be overlooked."""
    assert "WRONG: a dollar is missing" in drawn(view.books(Books(1, 1, 0, 0, (), ("a dollar is missing",))))


def test_a_bar_shows_epoch_and_loss() -> None:
    """Without a terminal it is one plain line."""
    text = drawn(view.Bar("gpu_vendor_1", 40, Epoch(2, 5, "1.83"), "running"))

    assert text == f"           [{'#' * 12}{'.' * 18}]   40 %  gpu_vendor_1  epoch 2/5  loss 1.83\n"


def test_a_bar_without_epochs_shows_progress_alone() -> None:
    """A vendor whose log says nothing still reports its progress."""
    assert drawn(view.Bar("v", 100, None, "completed")).rstrip().endswith("100 %  v  completed")


@pytest.mark.parametrize("state", ["running", "failed", "completed"])
def test_a_bar_is_drawn_in_a_terminal(state: str) -> None:
    """The same words beside a drawn bar."""
    text = drawn(view.Bar("v", 50, Epoch(1, 2, "0.5"), state), terminal=True)

    assert "━" in text
    assert "epoch 1/2  loss 0.5" in text


def test_a_status_shows_jobs_books_and_trail() -> None:
    """All that a user wants to know of a run, and how much of the trail is shown."""
    told = status(
        observation_json(7, "job_log", "hello"),
        run=run_json(failure={"code": "planner_abort", "message": "nothing fits"}, status="failed"),
        jobs=(
            job_json(status="failed", failure={"code": "vendor_failed", "message": "ECC error"}),
            job_json(artifactUrl="https://a.example/m", actualCost=None),
        ),
        payments=(payment_json(),),
        total=7,
    )

    text = drawn(view.status_view(told, books_of(told.run, told.payments), NOW))

    for part in (
        RUN_ID,
        "planner_abort: nothing fits",
        "goal: Fine-tune tiny-llm",
        "vendor_failed: ECC error",
        "gpu_vendor_1  A100, 1 h  running  50 %  1.4 USD  https://a.example/m",
        "total 5 USD = remaining 3.6 USD + spent 1.4 USD",
        "Audit trail (the last 1 of 7)",
        "hello",
    ):
        assert part in text


def test_a_status_says_how_old_the_newest_reading_of_the_chain_is() -> None:
    """Whoever waits for a confirmation wants to know whether somebody is looking."""
    open_: dict[str, JsonValue] = {
        "vendorId": "v",
        "amount": 1.4,
        "authorized": True,
        "chainSeenAt": "2026-11-21T07:59:46Z",
    }
    told = status(run=run_json(reservations={"a" * 24: open_, "b" * 24: open_ | {"chainSeenAt": None}}))

    text = drawn(view.status_view(told, books_of(told.run, told.payments), NOW))

    assert text.count("the chain shows nothing of the payment to v yet: read 14 s ago") == 1


def test_a_tick_shows_message_reason_and_run() -> None:
    """What was done and why."""
    action = {"action": "start_job", "reason": "it is cheapest"}
    text = drawn(view.ticked(Ticked(message="Job started", action=action, run=run())))

    assert text.splitlines()[:2] == ["Job started", "it is cheapest"]
    assert "3.6 USD of 5 USD left" in text


def test_a_tick_without_a_plan_shows_message_and_run() -> None:
    """Most ticks only look after a job."""
    assert len(drawn(view.ticked(Ticked(message="Job is running", action=None, run=run()))).splitlines()) == 2


def test_a_wait_says_until_when() -> None:
    """A run that waits for an authorization to expire shows a sign of life; one that has ended does not."""
    assert drawn(view.waiting(run())).strip() == "executing, next tick at 08:00:00 UTC"
    assert drawn(view.waiting(run(nextTickAt=None))) == "\n"


def test_lists_that_are_empty_say_what_to_do() -> None:
    """An empty answer is an answer."""
    assert drawn(tables.runs_table(runs())) == "no runs\n"
    assert "purser vendors seed" in drawn(tables.vendors_table(vendors()))


def test_runs_that_cannot_be_read_are_named() -> None:
    """Also where there is no other."""
    assert f"cannot be read by the server: {RUN_ID}" in drawn(tables.runs_table(runs(unreadable=[RUN_ID])))


def test_runs_show_where_the_next_page_begins() -> None:
    """A cut list says so."""
    text = drawn(tables.runs_table(runs(run_json(goal="x" * 100), cursor="1-abc")))

    assert "purser runs --cursor 1-abc" in text
    assert "cannot be read" not in text
    assert text.count("x") == 59


def test_vendors_show_price_score_and_record() -> None:
    """What the planner goes by."""
    lines = drawn(tables.vendors_table(vendors(vendor_json()))).splitlines()

    assert lines[1].split() == (
        ["gpu_vendor_1", "Alpha", "GPU", "1.4", "USD", "0.9", "3/1", "A100,", "RTX4090", "http://127.0.0.1:4001"]
    )


def test_a_verdict_says_what_was_checked_or_what_is_wrong() -> None:
    """Verified on one line, or every fault by itself."""
    good = drawn(view.verdict(Audited(RUN_ID, 12, 1, 2, ())))
    bad = drawn(view.verdict(Audited(RUN_ID, 12, 1, 2, ("observation 3 was changed", "another"))))

    assert "verified (12 observations, 1 payment, 2 jobs" in good
    assert len(good.splitlines()) == 1
    assert bad.splitlines()[1:] == ["  WRONG: observation 3 was changed", "  WRONG: another"]
    assert drawn(view.verdicts(1, 0)) == "1 run checked, 0 with findings\n"


def test_a_refusal_shows_code_detail_and_fields() -> None:
    """What to correct, field by field."""
    refusal = Refused(
        422, "invalid_request", "two fields", [("goal", "is required"), ("budgetTotal", "is too much")]
    )

    assert drawn(view.problem(refusal)).splitlines() == [
        "refused invalid_request: two fields",
        "  goal: is required",
        "  budgetTotal: is too much",
    ]


def test_a_fault_of_the_server_shows_the_request_to_name() -> None:
    """All that its log is searched by."""
    unreadable = drawn(view.problem(Refused(500, "run_unreadable", "another version", request_id="0123abcd")))
    assert "request 0123abcd in its log" in unreadable

    fault = Refused(500, "internal_error", "a fault of ours", request_id="0123abcd")

    assert drawn(view.problem(fault)).splitlines() == [
        "refused internal_error: a fault of ours",
        "  for who runs the server: request 0123abcd in its log",
    ]


def _everything() -> list[RenderableType]:
    told = status(
        observation_json(1, "job_log", HOSTILE),
        run=run_json(
            goal=HOSTILE,
            userId=HOSTILE,
            status=HOSTILE,
            phase=HOSTILE,
            failure={"code": HOSTILE, "message": HOSTILE},
        ),
        jobs=(
            job_json(
                vendorId=HOSTILE,
                status=HOSTILE,
                artifactUrl=HOSTILE,
                failure={"code": HOSTILE, "message": HOSTILE},
            ),
        ),
        payments=(payment_json(vendorId=HOSTILE, status=HOSTILE, x402TxId=HOSTILE),),
    )
    bad_vendor = vendor_json(vendorId=HOSTILE, name=HOSTILE, endpoint=HOSTILE, supportedGpuTypes=[HOSTILE])
    return [
        view.status_view(told, books_of(told.run, told.payments), NOW),
        view.ticked(Ticked(message=HOSTILE, action={"reason": HOSTILE}, run=told.run)),
        tables.runs_table(
            runs(run_json(goal=HOSTILE, userId=HOSTILE, status=HOSTILE), cursor=HOSTILE, unreadable=[HOSTILE])
        ),
        tables.vendors_table(vendors(bad_vendor)),
        view.verdict(Audited(HOSTILE, 1, 0, 0, (HOSTILE,))),
        view.books(Books(1, 1, 0, 0, (), (HOSTILE,))),
        view.problem(Refused(422, HOSTILE, HOSTILE, [(HOSTILE, HOSTILE)])),
        view.Bar(HOSTILE, 10, None, HOSTILE),
    ]


@pytest.mark.parametrize("number", range(8))
def test_hostile_text_stays_text_in_every_view(number: int) -> None:
    """Every field that a vendor, a user or a server writes: shown as typed, and no control character."""
    text = drawn(_everything()[number])

    assert all(char.isprintable() or char == "\n" for char in text)
    assert "[bold" in text
