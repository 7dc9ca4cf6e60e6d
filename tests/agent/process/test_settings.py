"""Settings come from the environment, are complete where it matters, and never show a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.book.errors import ConfigurationError
from agent.book.limits import Limits
from agent.process.environment import PLATFORMS
from agent.process.settings import MOCK_SECRET, Settings, load_settings
from agent.secrets.vendor_secrets import seals_of

KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def test_with_nothing_set_a_laptop_works_and_says_what_it_makes_do_with() -> None:
    """A throw-away key, the mock vendors' token, memory for a database; each is named."""
    settings = load_settings()

    assert not settings.missing()
    assert settings.vendor_secret("GPU_VENDOR_SECRET") == MOCK_SECRET
    assert settings.signing_key is settings.signing_key
    assert [notice.split()[0] for notice in settings.notices()] == [
        "MONGODB_URI",
        "X402_PRIVATE_KEY",
        "GPU_VENDOR_SECRET",
        "API_TOKEN",
    ]


def test_two_processes_without_a_key_do_not_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A throw-away key is made, not published."""
    assert load_settings().signing_key.address != load_settings().signing_key.address


@pytest.mark.parametrize("platform", ["VERCEL", "VERCEL_IPC_PATH", "AWS_LAMBDA_FUNCTION_NAME"])
def test_a_deployed_process_names_what_it_misses(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """Nothing is made up where strangers can reach it."""
    monkeypatch.setenv(platform, "1")

    settings = load_settings()

    assert settings.missing() == [
        "MONGODB_URI",
        "X402_PRIVATE_KEY",
        "GPU_VENDOR_SECRET",
        "API_TOKEN",
        "CRON_SECRET",
    ]
    with pytest.raises(ConfigurationError, match="GPU_VENDOR_SECRET is not set"):
        settings.vendor_secret("GPU_VENDOR_SECRET")


def test_a_wallet_with_money_is_not_open_to_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On any machine: a key of one's own needs a token for the API as well."""
    monkeypatch.setenv("X402_PRIVATE_KEY", KEY)
    assert load_settings().missing() == ["API_TOKEN"]

    monkeypatch.setenv("API_TOKEN", "token-of-the-operator")
    assert load_settings().missing() == []


@pytest.mark.parametrize("networks", ["base-sepolia", "eip155:x", " , ", "solana:1"])
def test_networks_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, networks: str) -> None:
    """At once, and not at the first payment."""
    monkeypatch.setenv("X402_NETWORKS", networks)

    with pytest.raises(ConfigurationError, match="X402_NETWORKS: must be CAIP-2 ids"):
        load_settings()


def test_the_fireworks_planner_needs_its_key_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Falling back in silence would be another planner than was asked for."""
    monkeypatch.setenv("PLANNER_MODE", "fireworks")

    assert load_settings().missing() == ["FIREWORKS_API_KEY"]


def test_a_vendor_cannot_be_sent_another_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """`secretRef` reaches vendor tokens only."""
    monkeypatch.setenv("X402_PRIVATE_KEY", KEY)
    monkeypatch.setenv("GPU_VENDOR_SECRET_EU", "eu-token")
    settings = load_settings()

    assert settings.vendor_secret("GPU_VENDOR_SECRET_EU") == "eu-token"
    for ref in ("X402_PRIVATE_KEY", "MONGODB_URI", "GPU_VENDOR_SECRET_US", "gpu_vendor_secret", ""):
        with pytest.raises(ConfigurationError):
            settings.vendor_secret(ref)


def test_no_secret_shows_in_repr_or_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the good ones, and not the ones that were refused."""
    secrets = {
        "X402_PRIVATE_KEY": KEY,
        "MONGODB_URI": "mongodb://user:hunter2@db",
        "FIREWORKS_API_KEY": "fw-key",
        "GPU_VENDOR_SECRET": "vendor-token",
        "API_TOKEN": "token-of-the-operator",
        "CRON_SECRET": "secret-of-the-cron",
        "SEALING_KEYS": f"{'5e' * 32},{'6f' * 32}",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    shown = repr(load_settings())
    assert not [value for value in secrets.values() if value in shown]

    assert "5e5e" not in shown
    assert "5e5e" not in repr(seals_of(load_settings()))

    monkeypatch.setenv("SEALING_KEYS", f"{'5e' * 32},{'6f' * 31}")
    with pytest.raises(ConfigurationError, match="SEALING_KEYS: key 2 is not 32 bytes") as caught:
        load_settings()
    assert "6f6f" not in str(caught.value)
    monkeypatch.delenv("SEALING_KEYS")

    monkeypatch.setenv("X402_PRIVATE_KEY", KEY[:-1])
    with pytest.raises(ConfigurationError, match="X402_PRIVATE_KEY") as caught:
        load_settings()
    assert KEY[:-1] not in str(caught.value)


def test_blank_means_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`X=` in a .env file is how people leave things out; in the environment it takes nothing from that file."""
    monkeypatch.setenv("MONGODB_URI", "")
    monkeypatch.setenv("MAX_PER_DAY", "")
    assert load_settings().mongodb_uri is None

    (tmp_path / ".env").write_text("MAX_PER_DAY=5\n")
    monkeypatch.setattr("agent.process.environment.ENV_FILE", tmp_path / ".env")
    assert load_settings().max_per_day == 5_000_000


def test_the_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the directory where the process was started."""
    (tmp_path / ".env").write_text(
        "API_TOKEN=from-file\nCRON_SECRET=from-file-from-file\nGPU_VENDOR_SECRET_X=from-file\n"
    )
    monkeypatch.setattr("agent.process.environment.ENV_FILE", tmp_path / ".env")
    monkeypatch.setenv("API_TOKEN", "from-environment")

    settings = load_settings()

    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "from-environment"
    assert settings.cron_secret is not None
    assert settings.vendor_secret("GPU_VENDOR_SECRET_X") == "from-file"


def test_every_setting_is_documented() -> None:
    """`.env.example` explains each variable a process reads, and no other."""
    text = (Path(__file__).parents[3] / ".env.example").read_text()
    documented = {line.lstrip("# ").split("=")[0] for line in text.splitlines() if "=" in line}
    internal = {"PURSER_CALLED_FROM", "VENDOR_SECRETS", *PLATFORMS}

    assert documented == {name.upper() for name in Settings.model_fields} - internal | {"PURSER_URL"}


def test_limits_are_given_in_dollars_and_lists_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not set is no limit."""
    assert load_settings().limits == Limits()
    payee = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    for name, value in {
        "MAX_PER_PAYMENT": "0.05",
        "MAX_PER_VENDOR_PER_DAY": "3",
        "MAX_PER_DAY": "10.000001",
        "MAX_PER_WALLET": "100",
        "ALLOWED_ASSETS": payee,
        "ALLOWED_PAYEES": f"{payee} , {payee.lower()},",
        "ALLOWED_HOSTS": "GPU.example, other.example:8443",
        "FIRST_SEEN_PAYEE": "refuse",
    }.items():
        monkeypatch.setenv(name, value)

    assert load_settings().limits == Limits(
        per_payment=50_000,
        per_vendor_per_day=3_000_000,
        per_day=10_000_001,
        per_wallet=100_000_000,
        assets=frozenset({payee.lower()}),
        payees=frozenset({payee.lower()}),
        hosts=frozenset({"gpu.example", "other.example:8443"}),
        first_seen="refuse",
    )


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("MAX_PER_DAY", "-1", "must be plain digits"),
        ("MAX_PER_DAY", "0", "must be greater than 0"),
        ("MAX_PER_DAY", "NaN", "must be plain digits"),
        ("MAX_PER_PAYMENT", "0.0000001", "at most 6 decimals"),
        ("MAX_PER_WALLET", "much", "must be plain digits"),
        ("ALLOWED_PAYEES", "0x12", "must be addresses"),
        ("ALLOWED_ASSETS", "USDC", "must be addresses"),
        ("ALLOWED_HOSTS", "https://gpu.example", "must be host names"),
        ("FIRST_SEEN_PAYEE", "ask", "pin"),
    ],
)
def test_limits_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    """At once, and by name: a limit that is misspelled must not be no limit."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=f"{name}: .*{why}"):
        load_settings()


@pytest.mark.parametrize(("name", "least"), [("API_TOKEN", 16), ("CRON_SECRET", 16), ("NONCE_SECRET", 32)])
def test_a_secret_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, least: int) -> None:
    """Nothing limits how often somebody may try; the message does not hold what was set."""
    monkeypatch.setenv(name, "g" * (least - 1))
    with pytest.raises(ConfigurationError, match=f"{name}: must have at least {least} characters") as caught:
        load_settings()
    assert "ggg" not in str(caught.value)

    monkeypatch.setenv(name, "g" * least)
    load_settings()


def test_networks_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Money moves on test networks unless somebody names others."""
    assert load_settings().networks == {"eip155:84532"}
    monkeypatch.setenv("X402_NETWORKS", "eip155:8453, eip155:84532")
    assert load_settings().networks == {"eip155:8453", "eip155:84532"}


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ({}, True),
        ({"X402_PRIVATE_KEY": KEY}, False),
        ({"X402_KEYSTORE": "keystore.json"}, False),
        ({"CDP_WALLET_ADDRESS": "0x" + "11" * 20}, False),
        ({"VERCEL": "1"}, False),
        ({"AWS_LAMBDA_FUNCTION_NAME": "purser"}, False),
        ({"LOOPBACK_VENDORS": "refuse"}, False),
        ({"X402_PRIVATE_KEY": KEY, "LOOPBACK_VENDORS": "allow"}, True),
    ],
)
def test_vendors_on_this_machine_are_for_laptops(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], allowed: bool
) -> None:
    """A wallet or a platform rules them out, unless it is said otherwise."""
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert load_settings().loopback_allowed is allowed


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}", "\t{} ", "\ufeff{}", "{}\u200b"])
def test_white_space_around_a_value_is_cut_off(monkeypatch: pytest.MonkeyPatch, around: str) -> None:
    """`echo value | vercel env add` keeps the line break, and every token would be wrong."""
    values = {
        "API_TOKEN": "a" * 20,
        "CRON_SECRET": "b" * 20,
        "GPU_VENDOR_SECRET": "c" * 20,
        "GPU_VENDOR_SECRET_TWO": "d" * 20,
        "FIREWORKS_API_KEY": "e" * 20,
        "MONGODB_URI": "mongodb://localhost",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, around.format(value))

    settings = load_settings()

    assert set(settings.secrets) == set(values.values())


@pytest.mark.parametrize("name", ["API_TOKEN", "CRON_SECRET", "GPU_VENDOR_SECRET", "GPU_VENDOR_SECRET_TWO"])
@pytest.mark.parametrize("inside", ["two words of a token", "two\nlines of a token", "a tok\u00e9n of a vendor"])
def test_a_token_that_cannot_be_sent_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, inside: str
) -> None:
    """At the start, and without being quoted."""
    monkeypatch.setenv(name, inside)

    with pytest.raises(ConfigurationError, match=rf"{name}.* must be a token alone") as refused:
        load_settings()

    assert inside not in str(refused.value)


def test_of_a_password_only_line_breaks_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may begin or end with a blank."""
    monkeypatch.setenv("PURSER_KEYSTORE_PASSWORD", " a password \n")

    password = load_settings().purser_keystore_password

    assert password is not None
    assert password.get_secret_value() == " a password "
    monkeypatch.setenv("PURSER_KEYSTORE_PASSWORD", "\n")
    assert load_settings().purser_keystore_password is None


@pytest.mark.parametrize("name", ["ALLOWED_ASSETS", "ALLOWED_PAYEES", "CDP_WALLET_ADDRESS"])
def test_an_address_with_a_wrong_checksum_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A digit was mistyped, or a letter's case."""
    monkeypatch.setenv(name, "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266")

    with pytest.raises(ConfigurationError, match=rf"{name}: .*checksum"):
        load_settings()


@pytest.mark.parametrize("limit", ["MAX_PER_DAY", "MAX_PER_WALLET", "MAX_PER_VENDOR_PER_DAY"])
def test_a_limit_over_time_needs_a_store_that_remembers(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    """With a wallet of one's own: a restart would forget what was spent. A limit per payment needs none."""
    wallet = {"x402_private_key": "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"}
    wallet |= {"api_token": "o" * 32}
    assert Settings.model_validate(wallet | {"max_per_payment": "1"}).missing() == []
    bounded = wallet | {limit.lower(): "1.5"}
    assert Settings.model_validate({limit.lower(): "1.5"}).missing() == []
    assert "MONGODB_URI" in Settings.model_validate(bounded).missing()[0]
    assert Settings.model_validate(bounded | {"mongodb_uri": "mongodb://127.0.0.1"}).missing() == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_PER_PAYMNT", "MAX_PER_PAYMENT"),
        ("MAX_PER_DAYS", "MAX_PER_DAY"),
        ("MAX_PER_WALET", "MAX_PER_WALLET"),
        ("ALLOWED_PAYEE", "ALLOWED_PAYEES"),
        ("X402_NETWORKSS", "X402_NETWORKS"),
        ("API_TOKENS", "API_TOKEN"),
    ],
)
def test_a_misspelt_setting_is_named_and_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str
) -> None:
    """A limit that is set under another name is none, and nobody would know."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=rf"{name} \(did you mean {meant}\?\)") as refused:
        load_settings()
    assert "1" not in str(refused.value).replace("402", "")


@pytest.mark.parametrize(
    "name",
    [
        "X402_NETWORK",
        "X402_RELAYER_KEY",
        "GPU_VENDOR_SECRET_GAMMA",
        "PURSER_URL",
        "MAX_CONNECTIONS",
        "API_BASE_URL",
        "TICK",
    ],
)
def test_a_variable_of_somebody_else_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "some-value-of-theirs")
    load_settings()
