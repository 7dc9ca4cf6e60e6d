"""Our bearer token does not come back to us, in whatever form a vendor repeats it."""

from __future__ import annotations

import pytest

from vendors.errors import OutcomeUnknown, VendorError, VendorRefused
from vendors.models import JobReport, Rejected
from vendors.withholding import withhold, withhold_from_error
from x402.wire import Receipt

TOKEN = "abcd/efghIJKL+mnop0123=="


def test_in_a_report_wherever_it_stands() -> None:
    """Lines, metrics and messages alike; the rest stays as it was."""
    report = JobReport(
        status="failed",
        progress=10.0,
        logs=("fine", f"auth {TOKEN}!"),
        remaining_minutes=None,
        cost_so_far=5,
        metrics={"note": TOKEN, "loss": 0.5},
        artifact_url=None,
        error_message=f"bad {TOKEN}",
    )

    shown = withhold(report, TOKEN)

    assert TOKEN not in repr(shown)
    assert shown.logs == ("fine", "auth [withheld]!")
    assert shown.metrics == {"note": "[withheld]", "loss": 0.5}
    assert (shown.progress, shown.cost_so_far) == (10.0, 5)


@pytest.mark.parametrize("token", ["", "short", "job"])
def test_a_short_token_is_left_in(token: str) -> None:
    """It stands in too many innocent words."""
    assert withhold(Rejected("job is short", 402), token) == Rejected("job is short", 402)


def test_what_holds_no_token_is_returned_as_it_is() -> None:
    """Not a copy of it."""
    rejected = Rejected("no", 402)

    assert withhold(rejected, TOKEN) is rejected


def test_in_an_error_and_in_what_it_carries() -> None:
    """The text that ends in the trail, and the reason beside it."""
    error = VendorRefused("v", f"said {TOKEN}", "change it", status=401, reason=f"no {TOKEN}")
    unknown = OutcomeUnknown("v", f"said {TOKEN}", Receipt(True, TOKEN, "eip155:84532"))

    for each in (error, unknown):
        withhold_from_error(each, TOKEN)
        assert TOKEN not in str(each)
        assert TOKEN not in repr(vars(each))
    assert isinstance(error, VendorError)
