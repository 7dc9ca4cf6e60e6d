"""Settings: what the environment says (and `.env`), checked. `.env.example` explains each variable.

With nothing set, local commands work: the embedded store, a throw-away wallet key, the mock vendors' secret;
`notices` says so. On a platform (Vercel, Lambda) nothing is made up: what is missing is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from agent.book.errors import ConfigurationError
from agent.book.limits import FirstSeen, Limits
from agent.book.money import parse_usd
from agent.process.environment import PLATFORMS, environment, on_platform
from agent.process.logs import keep_out
from agent.process.own_memory import close_memory
from agent.process.sealing_keys import parse_keys
from vendors.models import is_token
from x402.chain.urls import parse_urls
from x402.codec import decimal_text
from x402.networks import Asset, chain_id, parse_assets

if TYPE_CHECKING:
    from x402.secp256k1 import SigningKey

__all__ = ["MOCK_SECRET", "Settings", "load_settings"]

MOCK_SECRET: Final = "mock-vendor-secret"  # noqa: S105 (the mock vendors' published default, worth nothing)
"""Bearer token that the mock vendors take when they are told no other."""

_OUR_PREFIXES: Final = (
    "ALLOWED_",
    "API_",
    "CDP_",
    "CRON_",
    "FIREWORKS_",
    "FIRST_SEEN_",
    "GPU_VENDOR_",
    "LOOPBACK_",
    "MAX_",
    "MONGODB_",
    "PATIENCE_",
    "PLANNER_",
    "POLL_",
    "PURSER_",
    "SEALING_",
    "STALL_",
    "TICK_",
    "X402_",
)
_OTHERS: Final = frozenset({"PURSER_KEYSTORE_PASSWORD", "PURSER_URL", "X402_NETWORK", "X402_RELAYER_KEY"})
"""Variables of the command and of the mock vendor, which may stand in the same `.env`."""
_ALIKE: Final = 0.88
"""How alike two names must be (0..1, as `difflib` has it) for one to be taken for the other misspelt."""

_VENDOR_SECRET: Final = re.compile(r"GPU_VENDOR_SECRET(_[A-Z0-9_]{1,64})?")
_LEAST: Final = {"nonce_secret": 32, "api_token": 16, "cron_secret": 16}
"""Characters that secrets of one's own making have at the least: nothing limits how often one may guess."""

_UNSENDABLE: Final = "must be a token alone: 1 to 4096 visible ASCII characters, no blanks or line breaks"
_PRIVATE_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")

_Usd = Annotated[int, BeforeValidator(parse_usd)]
"""Given in dollars, kept in micro-dollars."""
_Price = Annotated[
    Decimal, BeforeValidator(lambda typed: decimal_text(typed) if isinstance(typed, str) else typed)
]


class Settings(BaseModel):
    """What the process was told: a field for each variable. Durations in seconds, model prices in dollars per
    million tokens.

    Secrets never show in `repr` or in errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mongodb_uri: SecretStr | None = None
    mongodb_db_name: str = "purser"
    planner_mode: Literal["stub", "fireworks"] = "stub"
    fireworks_api_key: SecretStr | None = None
    fireworks_model: str = "accounts/fireworks/models/kimi-k2p5"
    fireworks_base_url: str | None = None
    fireworks_input_price: _Price | None = Field(None, ge=0)
    fireworks_output_price: _Price | None = Field(None, ge=0)
    x402_private_key: SecretStr | None = None
    x402_keystore: str | None = None
    purser_keystore_password: SecretStr | None = None
    purser_keystore_password_file: str | None = None
    cdp_wallet_address: str | None = None
    cdp_api_key_id: str | None = None
    cdp_api_key_secret: SecretStr | None = None
    cdp_wallet_secret: SecretStr | None = None
    cdp_base_url: str | None = None
    nonce_secret: SecretStr | None = None
    x402_networks: str = "eip155:84532"
    x402_assets: str = "[]"
    x402_rpc_urls: SecretStr | None = None
    x402_confirmations: int = Field(12, ge=1, le=64)
    max_per_payment: _Usd | None = None
    max_per_vendor_per_day: _Usd | None = None
    max_per_day: _Usd | None = None
    max_per_wallet: _Usd | None = None
    max_running_per_key: int = Field(100, ge=1, le=1_000)
    allowed_assets: str | None = None
    allowed_payees: str | None = None
    allowed_hosts: str | None = None
    first_seen_payee: FirstSeen = "pin"
    gpu_vendor_secret: SecretStr | None = None
    api_token: SecretStr | None = None
    cron_secret: SecretStr | None = None
    tick_deadline_seconds: float = Field(25, ge=10, le=280)
    poll_seconds: float = Field(15, ge=0.05, le=3_600)
    stall_seconds: float = Field(900, ge=1, le=86_400)
    patience_seconds: float = Field(3_600, ge=1, le=604_800)
    purser_home: str = "~/.purser"
    purser_called_from: str = ""
    vercel: str | None = None
    vercel_ipc_path: str | None = None
    aws_lambda_function_name: str | None = None
    sealing_keys: SecretStr | None = None
    loopback_vendors: Literal["allow", "refuse"] | None = None
    vendor_secrets: dict[str, SecretStr] = {}

    @field_validator("x402_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        strange = [name for name in map(str.strip, value.split(",")) if name and chain_id(name) is None]
        if strange or not value.strip(" ,"):
            raise ValueError("must be CAIP-2 ids such as eip155:84532, with commas between")
        return value

    @field_validator("x402_assets")
    @classmethod
    def _are_assets(cls, value: str) -> str:
        parse_assets(value)
        return value

    @field_validator("allowed_assets", "allowed_payees")
    @classmethod
    def _are_addresses(cls, value: str | None) -> str | None:
        from x402.keccak import why_no_address

        for address in map(str.strip, (value or "").split(",")):
            if address and (why := why_no_address(address)):
                raise ValueError(f"must be addresses with commas between; each {why}")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: str | None) -> str | None:
        if not all(map(_HOST.fullmatch, _listed(value) or ())):
            raise ValueError("must be host names, each with :port or without, with commas between")
        return value

    @field_validator("x402_rpc_urls")
    @classmethod
    def _are_urls(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_urls(value.get_secret_value())
        return value

    @field_validator("x402_private_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _PRIVATE_KEY.fullmatch(value.get_secret_value()):
            raise ValueError("must be a private key of 64 hex digits, with or without 0x")
        return value

    @field_validator("sealing_keys")
    @classmethod
    def _are_sealing_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @field_validator("cdp_wallet_address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        from x402.keccak import why_no_address

        if value is not None and (why := why_no_address(value)):
            raise ValueError(why)
        return value

    @field_validator(*_LEAST)
    @classmethod
    def _is_long(cls, value: SecretStr | None, field: ValidationInfo) -> SecretStr | None:
        least = _LEAST[str(field.field_name)]
        if value is not None and len(value.get_secret_value()) < least:
            raise ValueError(f"must have at least {least} characters, such as `openssl rand -hex 32` makes")
        return value

    @field_validator("api_token", "cron_secret", "gpu_vendor_secret", "fireworks_api_key")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_token(value.get_secret_value()):
            raise ValueError(_UNSENDABLE)
        return value

    @field_validator("vendor_secrets")
    @classmethod
    def _can_all_be_sent(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not is_token(secret.get_secret_value()):
                raise ValueError(f"{name} {_UNSENDABLE}")
        return value

    @model_validator(mode="after")
    def _has_one_wallet(self) -> Self:
        if len(self._wallets()) > 1:
            raise ValueError(f"only one wallet may be set, not {' and '.join(self._wallets())}")
        return self

    @property
    def deployed(self) -> bool:
        """Running on a platform that strangers can reach."""
        return any(getattr(self, name.lower()) for name in PLATFORMS)

    @property
    def loopback_allowed(self) -> bool:
        """Whether vendors may be on this machine; by itself only where nothing can be lost by it."""
        if self.loopback_vendors is None:
            return not (self.deployed or self.has_wallet)
        return self.loopback_vendors == "allow"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The value of every secret setting: for what must know them to keep them out of sight."""
        fields = [getattr(self, name) for name in type(self).model_fields]
        values = [each for field in fields for each in (field.values() if isinstance(field, dict) else [field])]
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))

    @property
    def networks(self) -> frozenset[str]:
        """CAIP-2 ids of the networks on which money may be spent."""
        return frozenset(name.strip() for name in self.x402_networks.split(",") if name.strip())

    @property
    def limits(self) -> Limits:
        """What may be spent beyond the budget of each run, and on whom."""
        return Limits(
            per_payment=self.max_per_payment,
            per_vendor_per_day=self.max_per_vendor_per_day,
            per_day=self.max_per_day,
            per_wallet=self.max_per_wallet,
            assets=_listed(self.allowed_assets),
            payees=_listed(self.allowed_payees),
            hosts=_listed(self.allowed_hosts),
            first_seen=self.first_seen_payee,
        )

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Tokens of chains of one's own; none on a chain that `x402.networks` knows."""
        return parse_assets(self.x402_assets)

    @property
    def nodes(self) -> dict[str, tuple[str, ...]]:
        """URLs of the nodes through which a network can be read. They may hold keys: not to be shown."""
        return {} if self.x402_rpc_urls is None else parse_urls(self.x402_rpc_urls.get_secret_value())

    @property
    def has_wallet(self) -> bool:
        """Whether payments are made from a wallet of the user's, and not with a throw-away key."""
        return bool(self._wallets())

    @cached_property
    def signing_key(self) -> SigningKey:
        """The key of a wallet held here; a throw-away one, new with each process, where no wallet is set.

        Raises:
            ConfigurationError: the keystore cannot be opened.
        """
        from agent.process.held_keys import held_key  # a process that only shows runs needs no keys

        password = self.purser_keystore_password, self.purser_keystore_password_file
        return held_key(self.x402_private_key, self.x402_keystore, *password)

    def _wallets(self) -> list[str]:
        named = {
            "X402_PRIVATE_KEY": self.x402_private_key,
            "X402_KEYSTORE": self.x402_keystore,
            "CDP_WALLET_ADDRESS": self.cdp_wallet_address,
        }
        return [name for name, value in named.items() if value is not None]

    def vendor_secret(self, ref: str) -> str:
        """The bearer token that a vendor's `secretRef` names.

        A ref can only name GPU_VENDOR_SECRET or GPU_VENDOR_SECRET_<SUFFIX>: registering a vendor must not be
        a way to be sent some other secret of ours.

        Raises:
            ConfigurationError: no such name, or it is not set.
        """
        if not _VENDOR_SECRET.fullmatch(ref):
            raise ConfigurationError(f"secretRef {ref!r} is not GPU_VENDOR_SECRET or GPU_VENDOR_SECRET_<SUFFIX>")
        if ref in self.vendor_secrets:
            return self.vendor_secrets[ref].get_secret_value()
        if ref == "GPU_VENDOR_SECRET" and not self.deployed:
            return MOCK_SECRET
        raise ConfigurationError(f"{ref} is not set; set it to the vendor's bearer token")

    def missing(self) -> list[str]:
        """Names of the variables without which this process must not serve. Empty with nothing set on a laptop."""
        needed = {
            "MONGODB_URI": self.mongodb_uri,
            "X402_PRIVATE_KEY": self.has_wallet or None,
            "GPU_VENDOR_SECRET": self.gpu_vendor_secret,
            "API_TOKEN": self.api_token,
            "CRON_SECRET": self.cron_secret,
        }
        absent = [name for name, value in needed.items() if value is None] if self.deployed else []
        if self.has_wallet and self.mongodb_uri is None and not self.deployed and self.limits.over_time:
            absent.append("MONGODB_URI (without it a restart forgets what counts against the limits over time)")
        if self.has_wallet and self.api_token is None and "API_TOKEN" not in absent:
            absent.append("API_TOKEN")  # a wallet that holds money must not be open to whoever finds the address
        if self.cdp_wallet_address is not None:
            at_coinbase = {
                "CDP_API_KEY_ID": self.cdp_api_key_id,
                "CDP_API_KEY_SECRET": self.cdp_api_key_secret,
                "CDP_WALLET_SECRET": self.cdp_wallet_secret,
                "NONCE_SECRET": self.nonce_secret,
            }
            absent += [name for name, value in at_coinbase.items() if value is None]
        if self.planner_mode == "fireworks" and self.fireworks_api_key is None:
            absent.append("FIREWORKS_API_KEY")
        return absent

    def notices(self) -> list[str]:
        """What a local process makes do with, one sentence each, for the terminal."""
        said = []
        if self.mongodb_uri is None:
            said.append("MONGODB_URI is not set: runs live in memory and are gone when this process ends")
        if not self.has_wallet:
            said.append("X402_PRIVATE_KEY is not set: paying with a throw-away key that holds no money")
        if self.gpu_vendor_secret is None:
            said.append("GPU_VENDOR_SECRET is not set: using the mock vendors' default")
        if self.api_token is None:
            said.append("API_TOKEN is not set: the API answers callers on this machine only")
        return said


def load_settings() -> Settings:
    """Read the settings from the environment and `.env`; the environment wins. The process is closed to others.

    Raises:
        ConfigurationError: a value is not usable; the message names the variable, never the value.
    """
    named = environment()
    if misspelt := _misspelt(named):
        raise ConfigurationError(f"settings that are none: {misspelt}")
    tokens = {name: SecretStr(value) for name, value in named.items() if _VENDOR_SECRET.fullmatch(name)}
    given = {field: named[field.upper()] for field in Settings.model_fields if field.upper() in named}
    try:
        settings = Settings.model_validate({**given, "vendor_secrets": tokens})
    except ValidationError as exc:
        faults = "; ".join(
            f"{''.join(f'{place}: ' for place in e['loc'][:1]).upper()}{_plain(e['msg'])}"
            for e in exc.errors(include_input=False)
        )
        raise ConfigurationError(f"settings that cannot be used: {faults}") from None
    keep_out(*settings.secrets)
    if not on_platform():  # a function has its machine to itself, and a cold start to lose
        close_memory()
    return settings


def _misspelt(named: Mapping[str, str]) -> str:
    """Names that begin as ours do, are none, and look very much like one: a limit that is not set is no limit."""
    ours = {field.upper() for field in Settings.model_fields}
    told = []
    for name in sorted(named):
        if name in ours or name in _OTHERS or not name.startswith(_OUR_PREFIXES) or _VENDOR_SECRET.fullmatch(name):
            continue
        from difflib import get_close_matches  # no cold start waits for what is hardly ever needed

        if alike := get_close_matches(name, ours, n=1, cutoff=_ALIKE):
            told.append(f"{name} (did you mean {alike[0]}?)")
    return ", ".join(told)


def _listed(value: str | None) -> frozenset[str] | None:
    """What stands between the commas, in lower case; None where nothing is set."""
    return None if value is None else frozenset(each.strip().lower() for each in value.split(",") if each.strip())


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
