"""The bearer tokens of vendors: found where they are kept, and sealed anew when the keys change."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.book.errors import ConfigurationError, VendorNotFound
from agent.book.limits import off_limits
from agent.process.logs import keep_out
from agent.process.sealing_keys import parse_keys
from agent.process.settings import Settings
from agent.secrets.sealing import CannotOpen, Seals
from agent.store.vendors import VendorStore
from vendors.errors import InvalidVendor
from vendors.models import Vendor

__all__ = ["Resealed", "reseal", "seals_of", "token_of"]


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a rotation did: how many secrets it sealed anew, how many needed nothing, and which it could not open,
    each with the reason.
    """

    resealed: int
    current: int
    failed: dict[str, str]


def seals_of(settings: Settings) -> Seals:
    """What seals and opens the secrets of vendors that are kept in the registry."""
    keys = settings.sealing_keys
    return Seals(() if keys is None else parse_keys(keys.get_secret_value()))


def token_of(settings: Settings, vendor: Vendor) -> str:
    """A vendor's bearer token.

    Raises:
        ConfigurationError: its variable is not set, its sealed secret does not open, or its host is not allowed.
    """
    if away := off_limits(settings.limits, vendor):
        raise ConfigurationError(away)
    if vendor.sealed_secret is not None:
        try:
            token = seals_of(settings).open(vendor.sealed_secret, vendor.token_for)
        except CannotOpen as exc:
            raise ConfigurationError(
                f"the sealed secret of {vendor.vendor_id} cannot be opened: {exc}; put the key back into "
                "SEALING_KEYS, or give the vendor its secret again"
            ) from None
        keep_out(token)
        return token
    return settings.vendor_secret(vendor.secret_ref or "")


async def reseal(vendors: VendorStore, seals: Seals) -> Resealed:
    """Seal every stored secret with the first key. It may be repeated, and broken off, at any point.

    Each vendor is replaced only as it was read, so nothing is lost to whoever changes one meanwhile.
    """
    resealed, current, failed, after = 0, 0, dict[str, str](), ""
    while page := await vendors.sealed_ids(after):
        for vendor_id in page:
            try:
                changed = await _reseal(vendors, seals, vendor_id)
            except VendorNotFound:
                continue
            except (CannotOpen, InvalidVendor) as exc:
                failed[vendor_id] = str(exc)
            else:
                resealed, current = resealed + changed, current + (not changed)
        after = page[-1]
    return Resealed(resealed, current, failed)


async def _reseal(vendors: VendorStore, seals: Seals, vendor_id: str) -> bool:
    """Whether this secret had to be sealed anew."""
    changed = False

    def edit(vendor: Vendor) -> Vendor:
        nonlocal changed
        changed = False
        if vendor.sealed_secret is None:  # it names a variable by now
            return vendor
        secret = seals.open(vendor.sealed_secret, vendor.token_for)
        changed = not seals.is_newest(vendor.sealed_secret)
        return replace(vendor, sealed_secret=seals.seal(secret, vendor.token_for)) if changed else vendor

    await vendors.change(vendor_id, edit)
    return changed
