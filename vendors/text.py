"""Text that vendors wrote: data to be shown, never trusted to be harmless.

It ends in terminals, in MongoDB and in a model's prompt. Terminal escapes would rewrite what the user sees,
lone surrogates cannot be stored, direction marks show words in another order than they are, and tag characters
and variation selectors carry instructions that people do not see and models do. All of it is dropped.

Vendors quote what they were sent when they refuse it, and that may be a payment. Prose has no unbroken run of
letters and digits as long as a signature, so such runs are withheld whatever they are.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["clean", "holds_payment"]

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_BREAKS: Final = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNSEEN: Final = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # controls
    r"\ud800-\udfff"  # lone surrogates
    r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # marks without a shape
    r"\ufe00-\ufe0f\U000e0000-\U000e01ef"  # variation selectors and tags
    "]"
)
_WITHHELD: Final = "[withheld]"
_OPAQUE: Final = re.compile(r"(?<![A-Za-z0-9+/_-])(?=[+/_-]*[A-Za-z0-9])[A-Za-z0-9+/_-]{120,}={0,2}")

_PAYMENT: Final = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{130}(?![0-9a-fA-F])|[A-Za-z0-9+/_-]{700,}")


def clean(text: str, limit: int) -> str:
    """`text` as one line of at most `limit` characters that can be shown; a cut one ends in "…"."""
    seen = _UNSEEN.sub("", _BREAKS.sub(" ", _ESCAPES.sub("", text)))
    shown = _OPAQUE.sub(_WITHHELD, seen).strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def holds_payment(text: str) -> bool:
    """Whether a run in `text` can be a signature of ours (65 bytes of hex), or a payment header whole.

    For what cannot be shown cut, ids and URLs: whoever signs URLs uses other lengths.
    """
    return _PAYMENT.search(text) is not None
