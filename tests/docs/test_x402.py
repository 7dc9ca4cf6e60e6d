"""docs/x402.md and the tests are in step: a row names tests that exist, and a pitfall's test has its row."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from net.strict_json import MAX_BYTES, MAX_DEPTH
from tests.x402.samples import NETWORK, NOW, PAYEE, URL, header_for
from x402.negotiation import read_challenge, read_receipt
from x402.selling.offline import MemoryLedger, OfflineFacilitator

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/x402.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def functions_in(path: str) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse((ROOT / path).read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name for name in found if name.startswith("test_")}


PITFALLS = rows("What goes wrong, and what is done about it")
PAIRS = rows("With whom it was tried")


@pytest.mark.parametrize("row", [*PITFALLS, *PAIRS], ids=lambda row: row[0][:40])
def test_every_row_names_tests_that_exist(row: list[str]) -> None:
    """As `path::name`, at least one."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])
    assert named
    assert [f"{path}::{name}" for path, name in named if name not in functions_in(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        "tests/interop/test_pitfalls.py",
        "tests/interop/test_pitfalls_of_sellers.py",
        "tests/x402/test_pitfalls.py",
    ],
)
def test_every_test_of_a_pitfall_has_its_row(path: str) -> None:
    """But for the one that keeps the versions in step."""
    named = {name for row in PITFALLS for _, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[-1])}
    assert functions_in(path) - named <= {"test_the_peers_are_of_the_versions_that_the_document_names"}


def test_the_table_of_pitfalls_is_whole() -> None:
    """29 of them, each with what the official SDKs do and what Purser does; what was measured names its test."""
    assert len(PITFALLS) == 29
    for pitfall, official, ours, tests in PITFALLS:
        assert pitfall
        assert ours
        measured = not official.startswith("read:")
        assert not measured or "tests/interop/" in tests, pitfall


def test_the_bounds_are_those_of_the_code() -> None:
    """64 KiB, 32 levels."""
    assert f"{MAX_BYTES // 1024} KiB, {MAX_DEPTH} levels" in TEXT


async def test_the_seller_of_the_document_sells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpaid, paid, sent again, malformed: as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT.split("## Selling\n", 1)[1], re.DOTALL)[:1]
    (tmp_path / "shop.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    ledger = MemoryLedger()
    given = {"facilitator": OfflineFacilitator(ledger, lambda: NOW), "pay_to": PAYEE}
    shop = runpy.run_path("shop.py", given)

    status, headers, body = await shop["answer"](URL, {})
    (offer,) = read_challenge(headers, body).offers
    payment = await header_for(offer)
    paid, receipt, goods = await shop["answer"](URL, {payment.name: payment.value})
    again, shown, _ = await shop["answer"](URL, {payment.name: payment.value})
    malformed, _, _ = await shop["answer"](URL, {payment.name: "no payment"})
    await shop["settlements"].close()

    assert (status, offer.network, paid, goods, again, malformed) == (402, NETWORK, 200, b"goods", 402, 400)
    assert read_receipt(receipt) == read_receipt(shown)
    assert len(ledger.journal) == 1
    assert (tmp_path / "sold.db").exists()
