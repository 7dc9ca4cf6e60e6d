"""Our bearer token is taken out of what a vendor says, in whatever form it came in.

Vendors quote the token that they refuse: in JSON with escapes, in a header in base64. So it is looked for in the
values that were read, not in the bytes that were sent.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Final, TypeVar

from vendors.errors import VendorError

__all__ = ["withhold", "withhold_from_error"]

_WITHHELD: Final = "[withheld]"
_SHORTEST: Final = 12
"""Shorter tokens stand in too many innocent words."""

_T = TypeVar("_T")


def withhold(value: _T, token: str) -> _T:
    """`value` (text, a dataclass, or a collection of such) without the token."""
    return _without(value, token) if len(token) >= _SHORTEST else value  # type: ignore[return-value]


def withhold_from_error(error: VendorError, token: str) -> None:
    """Take the token out of an error's text and of all that it carries."""
    error.args = withhold(error.args, token)
    for name, value in vars(error).items():
        setattr(error, name, withhold(value, token))


def _without(value: object, token: str) -> object:
    if isinstance(value, str):
        return value.replace(token, _WITHHELD)
    if isinstance(value, tuple):
        return tuple(_without(each, token) for each in value)
    if isinstance(value, dict):
        return {_without(key, token): _without(each, token) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changes = {
            each.name: cleaned
            for each in fields(value)
            if (cleaned := _without(was := getattr(value, each.name), token)) != was
        }
        return replace(value, **changes) if changes else value
    return value
