"""The journal of `purser pay`: what is in it lasts, and what cannot be read stops everything."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.book.models import SignedAuthorization
from scripts.pay.journal import EXPIRY_MARGIN, Journal, JournalBroken, PurchaseBusy, Signed, request_key
from tests.x402.samples import NETWORK, NONCE, NOW, PAYEE, PAYER, USDC

AUTHORIZATION = SignedAuthorization(
    header_name="PAYMENT-SIGNATURE",
    header_value="x" * 100_000,
    payer=PAYER,
    pay_to=PAYEE,
    amount=10_000,
    network=NETWORK,
    asset=USDC,
    currency="USDC",
    nonce=NONCE,
    valid_before=NOW + 300,
    signed_at=datetime.fromtimestamp(NOW, UTC),
)
KEY = request_key("GET", "https://x.example/", None, None)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty one."""
    return Journal(str(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the purchase under `KEY` is written."""
    return tmp_path / "payments" / f"{KEY}.jsonl"


def last(journal: Journal) -> Signed | None:
    """What the next process would find."""
    found = journal.find(KEY)
    if found is None:
        return None
    with found:
        return found.last


def signed(journal: Journal) -> None:
    """A first authorization."""
    with journal.create(KEY) as purchase:
        purchase.signed("GET", "https://x.example/", AUTHORIZATION)


def test_what_is_written_is_found_again(journal: Journal) -> None:
    """Each event, by the next process, however long the header."""
    assert last(journal) is None
    signed(journal)
    assert last(journal) == Signed(AUTHORIZATION)
    with journal.create(KEY) as purchase:
        purchase.sent_again()
        assert purchase.last == Signed(AUTHORIZATION, sends=2)
        purchase.answered(402, "no")
    assert last(journal) == Signed(AUTHORIZATION, sends=2, answers=1, said="no")
    with journal.create(KEY) as purchase:
        purchase.settled("0xabc")
    found = last(journal)
    assert found == Signed(AUTHORIZATION, sends=2, answers=2, said="no", transaction="0xabc")
    assert found.closes_at.timestamp() == NOW + 300 + EXPIRY_MARGIN.total_seconds()
    signed(journal)
    assert last(journal) == Signed(AUTHORIZATION)


def test_a_purchase_is_one_process_at_a_time(journal: Journal) -> None:
    """Whoever comes second is told so, and the lock goes with its holder."""
    with journal.create(KEY):
        with pytest.raises(PurchaseBusy):
            journal.find(KEY)
        with pytest.raises(PurchaseBusy):
            journal.create(KEY)
        journal.create(request_key("GET", "https://y.example/", None, None)).__exit__()
    signed(journal)


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_torn_line_was_never_sent(journal: Journal, file: Path, cut: int) -> None:
    """It is passed over, and cut off by the next write."""
    signed(journal)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-cut])
    assert last(journal) == Signed(AUTHORIZATION)
    with journal.create(KEY) as purchase:
        purchase.sent_again()
        purchase.sent_again()
    assert last(journal) == Signed(AUTHORIZATION, sends=3)

    file.write_bytes(whole[:-cut])
    assert last(journal) is None


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b"\xff",
        b"nonsense",
        b'{"event":"signed","authorization":{"headerValue":"planted"}}',
        b'{"event":"signed"}',
        b'{"event":"stolen"}',
        b'{"event":"settled"}',
    ],
)
def test_a_line_that_cannot_be_read_stops_everything(journal: Journal, file: Path, line: bytes) -> None:
    """Who knows what it said. Nothing of it is quoted."""
    signed(journal)
    before = file.read_bytes()
    for content in (before + line + b"\n", line + b"\n"):
        file.write_bytes(content)
        with pytest.raises(JournalBroken, match="cannot be understood at its end") as caught:
            journal.find(KEY)
        assert "planted" not in str(caught.value)
    file.write_bytes(before)
    assert last(journal) == Signed(AUTHORIZATION), "the lock is left behind"


def test_only_the_end_of_a_long_file_is_read(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of purchases of one request cost no more than one; those before the newest are of no account."""
    monkeypatch.setattr("scripts.pay.journal._TAIL", 250_000)
    for _ in range(4):
        signed(journal)
    file.write_bytes(b"nonsense\n" + file.read_bytes())
    with journal.create(KEY) as purchase:
        purchase.answered(402, "no")
    assert last(journal) == Signed(AUTHORIZATION, answers=1, said="no")

    with file.open("ab") as more:
        more.write(b'{"event":"sent_again"}\n' * 20_000)
    with pytest.raises(JournalBroken, match="understood"):
        journal.find(KEY)


@pytest.mark.parametrize("call", ["fcntl.flock", "os.pread"])
def test_a_file_system_that_fails_is_said(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Some network file systems have no locks."""
    signed(journal)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as broken:
        broken.setattr(call, fail)
        with pytest.raises(JournalBroken, match=r"cannot be (locked|read): No locks available"):
            journal.find(KEY)
    assert last(journal) == Signed(AUTHORIZATION)


def test_a_full_disk_is_an_error_and_nothing_was_sent(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line and no line at all alike; what is there stays readable."""
    signed(journal)
    real = os.write

    def half(file: int, data: bytes) -> int:
        return real(file, data[: len(data) // 2])

    def none(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for write in (half, none):
        monkeypatch.setattr(os, "write", write)
        with journal.create(KEY) as purchase, pytest.raises(JournalBroken, match="No space left"):
            purchase.sent_again()
        monkeypatch.setattr(os, "write", real)
        assert last(journal) == Signed(AUTHORIZATION)


def test_every_line_is_on_the_disk_before_anything_goes_on(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's content, and the directory that names it."""
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.path.isdir(f"/proc/self/fd/{file}")))
    signed(journal)
    assert synced == [False, True]


def test_a_journal_is_not_written_through_a_link(journal: Journal, file: Path, tmp_path: Path) -> None:
    """Neither found nor made there; its target stays as it was."""
    file.parent.mkdir()
    file.symlink_to(tmp_path / "of-others")
    for find in (journal.find, journal.create):
        with pytest.raises(JournalBroken, match="is a link"):
            find(KEY)
    assert not (tmp_path / "of-others").exists()


def test_a_journal_that_others_can_read_is_closed_to_them(journal: Journal, file: Path) -> None:
    """And read: the purchase in it is not paid for twice."""
    signed(journal)
    file.chmod(0o644)
    found = last(journal)
    assert found is not None
    assert found.authorization == AUTHORIZATION
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """With its name and the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalBroken, match="cannot be made"):
        Journal(str(tmp_path / "file")).create(KEY)
    directory = tmp_path / "payments" / f"{KEY}.jsonl"
    directory.mkdir(parents=True)
    with pytest.raises(JournalBroken, match="cannot be opened: Is a directory"):
        Journal(str(tmp_path)).find(KEY)


def test_requests_are_told_apart() -> None:
    """Nothing runs together: the parts are kept apart before they are hashed."""
    keys = {
        request_key("GET", "u", None, None),
        request_key("GET", "u", b"", None),
        request_key("GET", "u", None, ""),
        request_key("GET", "u1", None, None),
        request_key("GETu", "", None, None),
    }
    assert len(keys) == 5
