"""The settings of this program: environment variables, or a `.env` file in the working directory."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gpu_vendor_mock.catalog import DEFAULT_CATALOG, Persona, parse_catalog
from gpu_vendor_mock.dollars import TypedDollars, from_dollars
from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.faults import Fault, FaultName, parse_faults
from x402.chain.urls import parse_urls
from x402.networks import Asset, default_asset, parse_assets

__all__ = ["LOCAL_SECRET", "Settings", "load_settings"]

LOCAL_SECRET: Final = "mock-vendor-secret"  # noqa: S105  known to everyone, for loopback only (see server.py)
"""The bearer token when GPU_VENDOR_SECRET is not set."""

_FAILING_VENDOR_EPOCH: Final = 3


def _read_faults(value: object) -> object:
    return parse_faults(value) if isinstance(value, str) else value


def _read_catalog(value: object) -> object:
    return parse_catalog(value) if isinstance(value, str) else value


def _read_assets(value: object) -> object:
    return parse_assets(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """What the mock vendor can be told. Each field is the variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    gpu_vendor_secret: SecretStr = Field(SecretStr(LOCAL_SECRET), min_length=8, max_length=512)
    """The bearer token that callers must send."""
    mock_vendors: Annotated[tuple[Persona, ...], NoDecode, BeforeValidator(_read_catalog)] = DEFAULT_CATALOG
    """The vendors to play, as JSON; see `parse_catalog`."""
    x402_assets: Annotated[tuple[Asset, ...], NoDecode, BeforeValidator(_read_assets)] = ()
    """Tokens of chains of one's own, as JSON; see `x402.networks.parse_assets`."""
    x402_network: str = "eip155:84532"
    """CAIP-2 id of the network payments are asked on."""
    x402_rpc_urls: SecretStr | None = None
    """Nodes of the chain to settle on; see `x402.chain.urls.parse_urls`. Only looked at with a relayer's key."""
    x402_relayer_key: SecretStr | None = None
    """The key that settles on the chain and pays the gas. Without one, payments are settled offline."""
    base_price_per_hour: TypedDollars | None = None
    """Dollars per hour at every vendor here, in place of their own prices."""
    port: int = Field(4001, ge=0, le=65_535)
    """Where to listen, unless the command line says otherwise; 0 takes a free one."""
    epochs: int = Field(5, ge=1, le=1_000)
    epoch_seconds: float = Field(1.0, ge=0, le=3_600, allow_inf_nan=False)
    faults: Annotated[tuple[Fault, ...], NoDecode, BeforeValidator(_read_faults)] = ()
    """Faults to inject; see `parse_faults`."""
    fail_vendor_id: str | None = None
    """Every job of this vendor fails in its third epoch."""
    fail_rate: float = Field(0.0, ge=0, le=1)
    """Share of all other jobs that fail, in an epoch of their own; which ones follows from `fault_seed`."""
    fault_seed: int = 0

    @property
    def configured_faults(self) -> tuple[Fault, ...]:
        """All faults that hold for whole vendors, `fail_vendor_id` among them."""
        if self.fail_vendor_id is None:
            return self.faults
        failing = Fault(FaultName.FAIL_AT_EPOCH, number=_FAILING_VENDOR_EPOCH, vendor_id=self.fail_vendor_id)
        return (*self.faults, failing)

    @property
    def vendors(self) -> tuple[Persona, ...]:
        """The vendors to play, at the prices that hold."""
        if self.base_price_per_hour is None:
            return self.mock_vendors
        price = from_dollars(self.base_price_per_hour)
        return tuple(replace(persona, base_price_per_hour=price) for persona in self.mock_vendors)

    @property
    def nodes(self) -> tuple[str, ...]:
        """URLs of the nodes of the network that payments are asked on."""
        urls = "" if self.x402_rpc_urls is None else self.x402_rpc_urls.get_secret_value()
        return parse_urls(urls).get(self.x402_network, ())

    @field_validator("x402_rpc_urls")
    @classmethod
    def _are_urls(cls, urls: SecretStr | None) -> SecretStr | None:
        parse_urls("" if urls is None else urls.get_secret_value())
        return urls

    @field_validator("x402_network")
    @classmethod
    def _network_is_known(cls, network: str, info: ValidationInfo) -> str:
        own = {token.network for token in info.data.get("x402_assets", ())}
        if default_asset(network) is None and network not in own:
            raise ValueError(f"no asset is known on {network!r}; use a CAIP-2 id such as eip155:84532")
        return network

    @field_validator("x402_relayer_key")
    @classmethod
    def _settles_somewhere(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        network, urls = info.data.get("x402_network"), info.data.get("x402_rpc_urls")
        if key is not None and (urls is None or network not in parse_urls(urls.get_secret_value())):
            raise ValueError(f"X402_RPC_URLS must name a node of {network} to settle on")
        return key

    @model_validator(mode="after")
    def _vendors_exist(self) -> Self:
        known = {persona.vendor_id for persona in self.mock_vendors}
        named = {fault.vendor_id for fault in self.configured_faults if fault.vendor_id is not None}
        if strangers := sorted(named - known):
            raise ValueError(
                f"faults name {', '.join(strangers)}, but the vendors here are {', '.join(sorted(known))}"
            )
        return self


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        BadSetting: one line for each variable that cannot be used; values are not repeated.
    """
    try:
        return Settings()
    except ValidationError as exc:
        raise BadSetting("\n".join(map(_problem, exc.errors()))) from exc


def _problem(error: ErrorDetails) -> str:
    """The variable and what is wrong with it; never its value."""
    variable = ".".join(map(str, error["loc"])).upper() or "FAULTS or FAIL_VENDOR_ID"
    return f"{variable}: {error['msg'].removeprefix('Value error, ')}"
