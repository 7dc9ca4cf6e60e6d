"""Making random requests better ones: named are things that are there, and what no schema can say is made true."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from schemathesis import Case, GenerationMode
from schemathesis.core import NotSet

__all__ = ["Known", "aim", "is_good", "unsent"]

_RUN_ID: Final = re.compile(r"[0-9a-fA-F]{24}")
_VENDOR_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BLANK_ENDS: Final = re.compile(r"\A\s+|\s+\Z")


@dataclass(frozen=True)
class Known:
    """What is there to be named, and how to be let in."""

    run_id: str
    vendor_id: str
    token: str
    key: str
    cron_secret: str

    def bearer(self, path: str) -> dict[str, str]:
        """The header that opens this path."""
        return {"Authorization": f"Bearer {self.cron_secret if path == '/api/cron-tick' else self.token}"}


def aim(case: Case[Any], known: Known) -> None:
    """Make a good case a better one: every other id is of something that is there, what no schema can say holds.

    That is: what ends something is to come, names and goals are printable, an endpoint is let through,
    a payee has no checksum to match.
    """
    body: Any = case.body
    for place in (body, case.query):
        run_id = place.get("runId") if isinstance(place, dict) else None
        if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) and int(run_id[-1], 16) % 2:
            place["runId"] = known.run_id
    vendor_id = str(case.path_parameters.get("vendor_id", ""))
    if _VENDOR_ID.fullmatch(vendor_id) and len(vendor_id) % 2:
        case.path_parameters["vendor_id"] = known.vendor_id
    if isinstance(body, dict):
        _keep_length(body)
    if (
        isinstance(body, NotSet) and case.method == "POST"
    ):  # it may be left out where the query names the run, which no schema can say
        case.query.pop("runId", None)
    if is_good(case) and isinstance(body, dict):
        _as_no_schema_can_say(body)


def is_good(case: Case[Any]) -> bool:
    """Whether it is meant to be taken."""
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


def unsent(case: Case[Any]) -> bool:
    """Whether a parameter of the query is left out on its way, as an empty list is, and with it what is wrong."""
    return any(_left_out(value) for value in case.query.values())


def _left_out(value: object) -> bool:
    return value is None or value == {} or (isinstance(value, list) and all(map(_left_out, value)))


def _keep_length(body: dict[str, Any]) -> None:
    """Blanks at the ends are cut off before a text's length is counted."""
    for text in ("goal", "name"):
        if isinstance(body.get(text), str):
            body[text] = _BLANK_ENDS.sub(lambda found: "_" * len(found[0]), body[text])


def _as_no_schema_can_say(body: dict[str, Any]) -> None:
    for moment in ("deadline", "expiresAt"):
        if body.get(moment) is not None:
            body[moment] = "2099-01-01T00:00:00Z"
    if body.get("secret") is not None:
        body.pop("secretRef", None)  # one of the two
    if "endpoint" in body:
        body["endpoint"] = "https://gamma.example/base"
    if body.get("payTo") is not None:  # one case of the letters, or else they are a checksum; and never zero
        body["payTo"] = f"{body['payTo'][:-1].lower()}1"
    for text in ("goal", "name"):
        if text in body:
            body[text] = "".join(char if char.isprintable() else "_" for char in body[text]).strip() or "_"
