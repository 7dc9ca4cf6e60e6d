"""Reading epoch and loss out of vendors' log lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_vendor_mock.training import Training
from scripts.view.epochs import Epoch, read_epoch


@pytest.mark.parametrize(
    ("line", "epoch"),
    [
        ("epoch 3/5 loss=1.2345 val_loss=1.3", Epoch(3, 5, "1.2345")),
        ("Epoch: 3/5 - loss: 1.2345", Epoch(3, 5, "1.2345")),
        ("[epoch=10/10] train_loss 0.9", Epoch(10, 10, "0.9")),
        ("epoch 3 / 5 val_loss=1.3 loss=2", Epoch(3, 5, "2")),
    ],
)
def test_common_ways_to_write_it_are_understood(line: str, epoch: Epoch) -> None:
    """What training programs print: the training loss counts, not the validation loss."""
    assert read_epoch(line) == epoch


@pytest.mark.parametrize(
    "line",
    [
        "started on 1 x A100",
        "epoch 3/5: CUDA error",
        "epoch 3/5 val_loss=1.3",
        "epoch 6/5 loss=1",
        "epoch 0/5 loss=1",
        "epoch 3/0 loss=1",
        "epoch 3333333/5 loss=1",
        "epoch 3/5 loss=[red]1",
        "epoch 3/5 loss=\x1b[31m1",
        "epoch ٣/٥ loss=1",
    ],
)
def test_anything_else_is_a_line_like_others(line: str) -> None:
    """No epoch, no loss, or an epoch that cannot be: no progress is made up."""
    assert read_epoch(line) is None


@given(st.text(max_size=200))
def test_no_text_breaks_it(line: str) -> None:
    """Whatever a vendor writes, reading ends, and what is found makes sense."""
    found = read_epoch(line)

    assert found is None or 0 < found.number <= found.count


def test_the_mock_vendors_lines_are_understood() -> None:
    """All epochs of the demo show up in its progress bar."""
    logs = Training("seed", "A100", "fine_tune", epochs=5, epoch_seconds=1).at(100).logs

    assert [found.number for line in logs if (found := read_epoch(line))] == [1, 2, 3, 4, 5]
