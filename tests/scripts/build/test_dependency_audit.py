"""An audit that found nothing because it could look at nothing says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from scripts.build.dependency_audit import ask_pip_audit, audit

REFUSED = ("", "Traceback ...\nrequests.exceptions.ConnectionError: Failed to resolve 'api.osv.dev'")
UNKNOWN = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited: yarl (1.25.1)"}
WELL = {"name": "httpx", "version": "0.28.1", "vulns": []}
HOLE = {"name": "aiohttp", "version": "3.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.0.1"]}]}


def answering(**answers: tuple[str, str]) -> Callable[[str], tuple[str, str]]:
    """A pip-audit that says this of each service."""
    return lambda service: answers[service]


def report(*dependencies: object) -> tuple[str, str]:
    """As pip-audit writes it."""
    return json.dumps({"dependencies": dependencies, "fixes": []}), ""


def test_where_no_service_is_reached_it_says_that_nothing_was_audited() -> None:
    """Refused connections, or a mirror that knows none of the packages: pip-audit calls the latter a success."""
    outcome = audit(answering(pypi=report(UNKNOWN, UNKNOWN), osv=REFUSED))

    assert outcome.lines == ("pypi and osv not reachable: nothing was audited",)
    assert not outcome.failed


def test_the_second_service_is_asked_where_the_first_is_away() -> None:
    """And what it does not know is named."""
    outcome = audit(answering(pypi=REFUSED, osv=report(WELL, UNKNOWN)))

    assert outcome.lines[0] == "1 packages audited with osv: no known holes"
    assert "yarl" in outcome.lines[1]
    assert not outcome.failed


def test_a_hole_fails_the_build_and_is_named() -> None:
    """With the version that mends it."""
    outcome = audit(answering(pypi=report(WELL, HOLE)))

    assert outcome.failed
    assert outcome.lines[0] == "aiohttp 3.0.0: PYSEC-1, mended in 3.0.1"


def test_a_pip_audit_that_breaks_is_no_pass() -> None:
    """Only a service that is away is excused."""
    outcome = audit(answering(pypi=("", "ERROR:pip_audit:requirement file not found")))

    assert outcome.failed
    assert "not found" in outcome.lines[0]


def test_the_real_one_is_asked_as_it_must_be(tmp_path: Path) -> None:
    """A file that it cannot read is its error, not a service that is away."""
    file = tmp_path / "requirements.txt"
    file.write_text("httpx\n")

    outcome = audit(lambda service: ask_pip_audit(service, file))

    assert outcome.failed
