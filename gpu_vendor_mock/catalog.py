"""The vendors this process plays: who they are, what they rent out, at what price, and who is paid.

The addresses are made up (the last 20 bytes of keccak256 of a phrase), so nobody holds their keys: good for
test networks only. `purser vendors seed` registers the same constants: that is how a payee comes to be pinned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from gpu_vendor_mock.dollars import TypedDollars, from_dollars
from gpu_vendor_mock.errors import BadSetting

__all__ = [
    "DEFAULT_CATALOG",
    "GPU_VENDOR_1_PAY_TO",
    "GPU_VENDOR_2_PAY_TO",
    "VENDOR_ID_PATTERN",
    "WRONG_PAYEE",
    "Persona",
    "parse_catalog",
]

GPU_VENDOR_1_PAY_TO: Final = "0xaac546D967d12a9C4408267e8AF0C1eed7cb621c"
GPU_VENDOR_2_PAY_TO: Final = "0x81c7A8f768e725620F83cb2Fc47e2c3f0eEE2608"
WRONG_PAYEE: Final = "0xDa268d9E93500a91d0CF5dC691501ED6DD85e443"
"""The payee that the fault `wrong_payee` names in place of the vendor's own."""

VENDOR_ID_PATTERN: Final = r"[A-Za-z0-9_-]{1,64}"


@dataclass(frozen=True, slots=True)
class Persona:
    """One vendor. The price is in micro-dollars; a vendor without `pay_to` asks for no payment."""

    vendor_id: str
    name: str
    base_price_per_hour: int
    reliability_score: float
    supported_gpu_types: tuple[str, ...]
    pay_to: str | None

    @property
    def free(self) -> bool:
        """True when jobs start without a payment."""
        return self.pay_to is None


DEFAULT_CATALOG: Final = (
    Persona("gpu_vendor_1", "Alpha GPU", 1_400_000, 0.9, ("A100", "RTX4090"), GPU_VENDOR_1_PAY_TO),
    Persona("gpu_vendor_2", "Beta Compute", 1_800_000, 0.95, ("A100", "H100", "RTX4090"), GPU_VENDOR_2_PAY_TO),
)


class _Entry(BaseModel):
    """One element of MOCK_VENDORS. The names are those of Purser's own vendor JSON."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    vendor_id: Annotated[str, Field(pattern=f"^{VENDOR_ID_PATTERN}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    base_price_per_hour: TypedDollars
    reliability_score: Annotated[float, Field(ge=0, le=1)] = 0.9
    supported_gpu_types: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")], ...],
        Field(min_length=1, max_length=32),
    ]
    pay_to: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")] | None = None


_ENTRIES: Final = TypeAdapter(Annotated[tuple[_Entry, ...], Field(min_length=1, max_length=32)])


def parse_catalog(text: str) -> tuple[Persona, ...]:
    """Read MOCK_VENDORS, a JSON array of
    `{vendorId, name, basePricePerHour, supportedGpuTypes, payTo?, reliabilityScore?}`.

    Prices are decimal dollars; an entry without `payTo` is a vendor that asks for no payment.

    Raises:
        BadSetting: naming the entry and the field at fault.
    """
    try:
        entries = _ENTRIES.validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSetting(f"not a list of vendors: {where + ': ' if where else ''}{first['msg']}") from exc
    if len({entry.vendor_id for entry in entries}) != len(entries):
        raise BadSetting("not a list of vendors: each vendorId may appear once")
    return tuple(
        Persona(
            vendor_id=entry.vendor_id,
            name=entry.name,
            base_price_per_hour=from_dollars(entry.base_price_per_hour),
            reliability_score=entry.reliability_score,
            supported_gpu_types=entry.supported_gpu_types,
            pay_to=entry.pay_to,
        )
        for entry in entries
    )
