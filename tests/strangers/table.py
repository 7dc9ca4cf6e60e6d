"""The kept table: how many checks each suite has, and which of their results are accepted though they do not pass.

Anything else is a difference: a check that fails and is not listed, one that is listed and fares otherwise, one
that is gone, and a suite with more or fewer checks than the table says. Pure.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["PASS", "Accepted", "Kept", "Result", "TableError", "differences", "read"]

PASS: Final = "pass"
"""The outcome that needs no entry in the table."""

_KEYS: Final = {"suite", "checks", "outcome", "reason"}


class TableError(ValueError):
    """The kept table cannot be read. The message says where and why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one check. `detail` is for people and not compared."""

    suite: str
    check: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An outcome that is not a pass, and why it is right."""

    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kept:
    """The table: the number of checks by suite, and what is accepted by suite and check."""

    checks: Mapping[str, int]
    accepted: Mapping[tuple[str, str], Accepted]


def read(text: str) -> Kept:
    """The table of a TOML text.

    Raises:
        TableError: it is no TOML, an entry lacks its reason, or something is listed twice.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise TableError(f"the table is no TOML: {exc}") from exc
    if not document.keys() <= {"suites", "accepted"}:
        raise TableError(f"the table has [suites] and [[accepted]], not {', '.join(document)}")
    return Kept(_checks(document.get("suites")), _accepted(document.get("accepted", []), document["suites"]))


def differences(results: Sequence[Result], kept: Kept, suites: Iterable[str]) -> list[str]:
    """What the results of these suites say that the table does not, a sentence each."""
    seen = {(each.suite, each.check): each for each in results}
    ran = list(suites)
    return [
        *_miscounted(results, kept, ran),
        *(f"{suite}: the suite has no line in [suites]" for suite in ran if suite not in kept.checks),
        *(said for each in seen.values() if (said := _difference(each, kept)) is not None),
        *(
            f"{suite}: {check}: the table accepts {accepted.outcome!r}, and there is no such check any more"
            for (suite, check), accepted in kept.accepted.items()
            if suite in ran and (suite, check) not in seen
        ),
    ]


def _miscounted(results: Sequence[Result], kept: Kept, ran: Sequence[str]) -> list[str]:
    times = Counter((each.suite, each.check) for each in results)
    twice = [
        f"{suite}: {check}: {count} results of one check" for (suite, check), count in times.items() if count > 1
    ]
    counts = Counter(each.suite for each in results)
    wrong = [suite for suite in ran if suite in kept.checks and counts[suite] != kept.checks[suite]]
    return twice + [f"{suite}: {counts[suite]} checks ran, the table has {kept.checks[suite]}" for suite in wrong]


def _difference(result: Result, kept: Kept) -> str | None:
    accepted = kept.accepted.get((result.suite, result.check))
    where, told = f"{result.suite}: {result.check}", f" ({result.detail})" if result.detail else ""
    if accepted is None:
        return (
            None
            if result.outcome == PASS
            else f"{where}: {result.outcome!r}, and the table does not accept it{told}"
        )
    if accepted.outcome == result.outcome:
        return None
    return (
        f"{where}: {result.outcome!r} now, the table accepts {accepted.outcome!r} (there: {accepted.reason}){told}"
    )


def _checks(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise TableError("the table lacks [suites]: the number of checks of each suite")
    found = {}
    for suite, count in value.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise TableError(f"[suites] {suite}: a number of checks is a whole number above zero")
        found[suite] = count
    return found


def _accepted(entries: object, suites: Mapping[str, object]) -> dict[tuple[str, str], Accepted]:
    if not isinstance(entries, list):
        raise TableError("accepted differences are written as [[accepted]]")
    found: dict[tuple[str, str], Accepted] = {}
    for number, entry in enumerate(entries, 1):
        where = f"[[accepted]] number {number}"
        if not isinstance(entry, dict) or entry.keys() != _KEYS:
            raise TableError(f"{where}: an entry has exactly {', '.join(sorted(_KEYS))}")
        suite, checks, outcome, reason = (entry[key] for key in ("suite", "checks", "outcome", "reason"))
        if not isinstance(suite, str) or suite not in suites:
            raise TableError(f"{where}: the suite {suite!r} is not in [suites]")
        if not isinstance(checks, list) or not checks or not all(isinstance(check, str) for check in checks):
            raise TableError(f"{where}: checks is a list of names")
        if not _is_said(outcome) or outcome == PASS:
            raise TableError(f"{where}: an accepted outcome is a text other than {PASS!r}")
        if not _is_said(reason):
            raise TableError(f"{where}: every accepted difference has its reason")
        for check in checks:
            if (suite, check) in found:
                raise TableError(f"{where}: {suite}: {check} is listed twice")
            found[suite, check] = Accepted(outcome, " ".join(reason.split()))
    return found


def _is_said(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
