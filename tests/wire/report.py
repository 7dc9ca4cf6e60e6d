"""A pytest plugin for `make test-wire`: the figures of the tests at the end, and no skip where none is allowed."""

from __future__ import annotations

import os

import pytest

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded with `record_property`, a line each."""
    terminalreporter.section("figures")
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if report.when == "call" and report.user_properties:
            terminalreporter.line(report.nodeid)
            terminalreporter.line("    " + ", ".join(f"{name} {value}" for name, value in report.user_properties))
    if _refused(terminalreporter):
        terminalreporter.line("PURSER_WIRE=required: a skipped test is a failure", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped that must not be."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter) and _refused(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _refused(reporter: pytest.TerminalReporter) -> bool:
    return os.environ.get("PURSER_WIRE") == "required" and bool(reporter.getreports("skipped"))
