"""What the mock vendor can be told by its environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gpu_vendor_mock.catalog import DEFAULT_CATALOG
from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.faults import Fault, FaultName
from gpu_vendor_mock.settings import LOCAL_SECRET, load_settings
from tests.gpu_vendor_mock.support import settings

_VARIABLES = (
    "GPU_VENDOR_SECRET",
    "FAIL_VENDOR_ID",
    "FAIL_RATE",
    "FAULT_SEED",
    "FAULTS",
    "EPOCHS",
    "PORT",
    "BASE_PRICE_PER_HOUR",
    "EPOCH_SECONDS",
    "X402_NETWORK",
    "X402_ASSETS",
    "X402_RPC_URLS",
    "X402_RELAYER_KEY",
    "MOCK_VENDORS",
)

_TOKEN = (
    '[{"network": "eip155:31337", "address": "0x5FbDB2315678afecb367f032d93F642f64180aa3", '
    '"name": "Test Dollar", "version": "2"}]'
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine and no `.env` of the checkout takes part."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set() -> None:
    """`make vendor` works on a fresh machine."""
    loaded = load_settings()
    assert loaded.gpu_vendor_secret.get_secret_value() == LOCAL_SECRET
    assert loaded.mock_vendors == DEFAULT_CATALOG
    assert (loaded.epochs, loaded.epoch_seconds, loaded.x402_network) == (5, 1.0, "eip155:84532")
    assert loaded.configured_faults == ()


def test_a_base_price_holds_for_every_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own prices stay where none is set."""
    assert load_settings().vendors == DEFAULT_CATALOG
    monkeypatch.setenv("BASE_PRICE_PER_HOUR", "0.35")
    monkeypatch.setenv("PORT", "4711")
    loaded = load_settings()
    assert [each.base_price_per_hour for each in loaded.vendors] == [350_000, 350_000]
    assert loaded.port == 4711


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "-1"), ("PORT", "70000"), ("BASE_PRICE_PER_HOUR", "0"), ("BASE_PRICE_PER_HOUR", "0.0000001")],
)
def test_a_port_or_price_that_is_none_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=f"^{name}: "):
        load_settings()


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one under its documented name."""
    values = {
        "GPU_VENDOR_SECRET": "a-secret-of-mine",
        "FAIL_VENDOR_ID": "v",
        "FAIL_RATE": "0.25",
        "FAULT_SEED": "7",
        "FAULTS": "v:slow=5*2, no_receipt",
        "EPOCHS": "3",
        "EPOCH_SECONDS": "0.5",
        "PORT": "0",
        "BASE_PRICE_PER_HOUR": "2",
        "X402_NETWORK": "eip155:31337",
        "X402_ASSETS": _TOKEN,
        "X402_RPC_URLS": "eip155:31337=https://rpc.example/key eip155:1=https://other.example",
        "X402_RELAYER_KEY": "0x" + "77" * 32,
        "MOCK_VENDORS": '[{"vendorId":"v","name":"V","basePricePerHour":1,"supportedGpuTypes":["A100"]}]',
    }
    assert set(values) == set(_VARIABLES)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    assert loaded.gpu_vendor_secret.get_secret_value() == "a-secret-of-mine"
    assert (loaded.fail_rate, loaded.fault_seed, loaded.epochs, loaded.epoch_seconds) == (0.25, 7, 3, 0.5)
    assert loaded.x402_network == "eip155:31337"
    assert [token.name for token in loaded.x402_assets] == ["Test Dollar"]
    assert loaded.nodes == ("https://rpc.example/key",)
    assert "rpc.example" not in repr(loaded)
    assert "7777" not in repr(loaded)
    assert [persona.vendor_id for persona in loaded.mock_vendors] == ["v"]
    assert loaded.configured_faults == (
        Fault(FaultName.SLOW, number=5, vendor_id="v", count=2),
        Fault(FaultName.NO_RECEIPT),
        Fault(FaultName.FAIL_AT_EPOCH, number=3, vendor_id="v"),
    )


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`FAIL_VENDOR_ID= make vendor` switches the fault off."""
    monkeypatch.setenv("FAIL_VENDOR_ID", "")
    monkeypatch.setenv("FAULTS", "")
    assert load_settings().configured_faults == ()


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    """So that the secret is written down once for Purser and its vendors."""
    (tmp_path / ".env").write_text("GPU_VENDOR_SECRET=from-the-file\nMONGODB_URI=of-no-concern\n")
    assert load_settings().gpu_vendor_secret.get_secret_value() == "from-the-file"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GPU_VENDOR_SECRET", "short", "GPU_VENDOR_SECRET: .*at least 8"),
        ("FAIL_RATE", "1.5", "FAIL_RATE: .*less than or equal to 1"),
        ("EPOCHS", "0", "EPOCHS: "),
        ("EPOCH_SECONDS", "nan", "EPOCH_SECONDS: "),
        ("FAULTS", "explode", "FAULTS: .*no fault is called 'explode'"),
        ("FAULTS", "gpu_vendor_9:no_receipt", "faults name gpu_vendor_9, but the vendors here are gpu_vendor_1"),
        ("FAIL_VENDOR_ID", "gpu_vendor_9", "faults name gpu_vendor_9"),
        ("X402_NETWORK", "base-sepolia", "X402_NETWORK: .*use a CAIP-2 id"),
        ("X402_NETWORK", "eip155:999999", "X402_NETWORK: .*no asset is known"),
        ("X402_RPC_URLS", "https://rpc.example", "X402_RPC_URLS: must be pairs"),
        ("X402_RELAYER_KEY", "0x77", "X402_RELAYER_KEY: X402_RPC_URLS must name a node of eip155:84532"),
        ("X402_ASSETS", "{}", "X402_ASSETS: must be a JSON list"),
        ("MOCK_VENDORS", "[]", "MOCK_VENDORS: .*at least 1 item"),
    ],
)
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    """The program does not start, and says which variable and why."""
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=says):
        load_settings()


def test_the_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by repr nor in the message about a bad one."""
    assert "a-secret-of-mine" not in repr(settings(gpu_vendor_secret="a-secret-of-mine"))
    monkeypatch.setenv("GPU_VENDOR_SECRET", "tiny!!")
    with pytest.raises(BadSetting) as caught:
        load_settings()
    assert "tiny!!" not in str(caught.value)


def test_settings_do_not_change() -> None:
    """One process, one set of settings."""
    with pytest.raises(ValidationError):
        settings().epochs = 9  # type: ignore[misc]
