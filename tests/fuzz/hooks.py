"""What schemathesis as a program loads: each request is aimed as those of the tests are."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext

from tests.fuzz.aiming import Known, aim, is_good

_KNOWN: Final = Known(**json.loads(os.environ["FUZZ_KNOWN"]))
_numbers: Final = itertools.count(1)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], **_kwargs: Any) -> None:
    """Name what is there; a good order has a key of its own, for one key with two orders is a conflict."""
    aim(case, _KNOWN)
    if is_good(case) and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"fuzz-{next(_numbers)}"
