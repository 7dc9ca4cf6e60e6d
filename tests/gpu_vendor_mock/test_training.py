"""The simulated training run."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_vendor_mock.training import Training


def _training(**changes: object) -> Training:
    script: dict[str, object] = {
        "seed": "job",
        "gpu_type": "A100",
        "job_type": "fine_tune",
        "epochs": 5,
        "epoch_seconds": 4.0,
    }
    return Training(**(script | changes))  # type: ignore[arg-type]


moments = st.lists(st.floats(min_value=0, max_value=40), min_size=2, max_size=12).map(sorted)
scripts = st.builds(
    lambda fail, stall: _training(fail_at=fail, stall_at=stall),
    st.none() | st.integers(1, 8),
    st.none() | st.integers(1, 8),
)


def test_a_job_is_queued_then_running_then_completed() -> None:
    """A quarter of an epoch of waiting, then five epochs of 4 s."""
    training = _training()
    assert training.at(0.9).status == "queued"
    assert training.at(1).status == "running"
    assert training.at(20.9).status == "running"
    assert training.at(21).status == "completed"


def test_the_logs_tell_each_finished_epoch_with_its_loss() -> None:
    """A client can draw a progress bar and a loss curve from them."""
    logs = _training().at(1 + 2 * 4).logs
    assert logs[0] == "queued: fine_tune waits for 1 x A100"
    assert logs[1] == "started on 1 x A100"
    assert [line.split(" loss=")[0] for line in logs[2:]] == ["epoch 1/5", "epoch 2/5"]


def test_the_loss_falls() -> None:
    """It is a training run, after all."""
    losses = [float(line.split(" loss=")[1].split()[0]) for line in _training().at(21).logs if " loss=" in line]
    assert len(losses) == 5
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_a_finished_job_reports_the_last_epochs_loss() -> None:
    """finalMetrics and the log agree."""
    done = _training().at(99)
    assert done.metrics is not None
    assert done.metrics["epochs"] == 5
    assert f"epoch 5/5 loss={done.metrics['finalLoss']:.4f} val_loss={done.metrics['valLoss']:.4f}" in done.logs
    assert done.permille == 1_000
    assert done.remaining_seconds == 0


def test_the_same_job_always_tells_the_same_story() -> None:
    """A poll repeated, or a replayed run, sees the same lines; another job sees others."""
    assert _training().at(30) == _training().at(30)
    assert _training(seed="other").at(30).logs != _training().at(30).logs


def test_a_failing_job_fails_in_the_middle_of_its_epoch() -> None:
    """fail_at_epoch=3: two epochs are done, the third is not."""
    training = _training(fail_at=3)
    assert training.at(1 + 9.9).status == "running"
    failed = training.at(1 + 10)
    assert (failed.status, failed.permille, failed.metrics) == ("failed", 500, None)
    assert failed.error is not None
    assert failed.error.startswith("epoch 3/5: ")
    assert failed.logs[-1] == failed.error
    assert training.at(1_000) == failed


def test_a_stalled_job_runs_for_ever_without_progress() -> None:
    """stall_at_epoch=2: running, and the promise of when it ends no longer moves."""
    training = _training(stall_at=2)
    stalled = training.at(1 + 6)
    assert (stalled.status, stalled.permille, stalled.remaining_seconds) == ("running", 300, 14)
    assert training.at(100_000) == stalled


@pytest.mark.parametrize(
    ("fail_at", "stall_at", "status"), [(2, 3, "failed"), (3, 2, "running"), (2, 2, "failed")]
)
def test_of_a_failure_and_a_stall_the_first_one_happens(fail_at: int, stall_at: int, status: str) -> None:
    """A job that stands still cannot fail later."""
    assert _training(fail_at=fail_at, stall_at=stall_at).at(1_000).status == status


def test_an_epoch_beyond_the_last_means_the_last() -> None:
    """So FAIL_VENDOR_ID works however few epochs there are."""
    assert _training(epochs=2, fail_at=3).at(1_000).status == "failed"


def test_with_no_time_per_epoch_a_job_is_done_at_once() -> None:
    """EPOCH_SECONDS=0 is for tests that do not care for the curve."""
    assert _training(epoch_seconds=0.0).at(0).status == "completed"
    assert _training(epoch_seconds=0.0, fail_at=1).at(0).status == "failed"


@given(scripts, moments)
def test_time_only_adds(training: Training, times: list[float]) -> None:
    """Progress never falls, log lines are only appended, and an end state stays."""
    for earlier, later in pairwise(map(training.at, times)):
        assert later.permille >= earlier.permille
        assert later.logs[: len(earlier.logs)] == earlier.logs
        assert later.remaining_seconds <= earlier.remaining_seconds
        if earlier.status in ("completed", "failed"):
            assert later == earlier
        if earlier.status == "running":
            assert later.status != "queued"
