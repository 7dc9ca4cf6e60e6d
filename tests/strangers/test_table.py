"""What the kept table says, and everything that is held to differ from it."""

from __future__ import annotations

import re

import pytest

from scripts.serve.servers import ROOT
from tests.strangers.__main__ import SUITES
from tests.strangers.table import PASS, Result, TableError, differences, read
from tests.strangers.verdict import KEPT, conclude

TABLE = """
[suites]
a = 2
b = 1

[[accepted]]
suite = "a"
checks = ["two"]
outcome = "fail"
reason = "it is right so"
"""
GOOD = [Result("a", "one", PASS), Result("a", "two", "fail"), Result("b", "one", PASS)]


def found(*results: Result, suites: tuple[str, ...] = ("a", "b")) -> list[str]:
    return differences(results, read(TABLE), suites)


def test_results_as_kept_differ_in_nothing() -> None:
    """What passes needs no entry, what is listed fares as listed."""
    assert found(*GOOD) == []


def test_a_new_failure_is_a_difference_that_says_what_it_is() -> None:
    """Suite, check, outcome, and what the suite had to say."""
    [said] = found(Result("a", "one", "unsafe", "two settlements"), *GOOD[1:])
    assert said == "a: one: 'unsafe', and the table does not accept it (two settlements)"


@pytest.mark.parametrize("outcome", [PASS, "worse"])
def test_what_is_listed_must_occur_as_listed(outcome: str) -> None:
    """A difference that is gone is struck off; another one at the same check is new."""
    [said] = found(GOOD[0], Result("a", "two", outcome), GOOD[2])
    assert said == f"a: two: '{outcome}' now, the table accepts 'fail' (there: it is right so)"


def test_a_listed_check_that_is_gone_is_a_difference() -> None:
    """Named otherwise by a newer suite, for one."""
    assert found(GOOD[0], Result("a", "three", PASS), GOOD[2]) == [
        "a: two: the table accepts 'fail', and there is no such check any more"
    ]


def test_a_suite_that_checks_less_or_more_than_it_did_is_a_difference() -> None:
    """One that ran nothing has not passed."""
    assert "b: 0 checks ran, the table has 1" in found(*GOOD[:2])
    assert found(*GOOD, Result("b", "two", PASS)) == ["b: 2 checks ran, the table has 1"]


def test_one_check_has_one_result() -> None:
    """A second one would hide the first."""
    assert "a: one: 2 results of one check" in found(*GOOD, GOOD[0])


def test_a_suite_without_a_line_is_a_difference() -> None:
    """How many checks it has would be anybody's guess."""
    assert found(*GOOD, Result("c", "one", PASS), suites=("a", "b", "c")) == [
        "c: the suite has no line in [suites]"
    ]


def test_suites_that_did_not_run_are_not_missed() -> None:
    """`make strangers SUITES=b` says nothing of the others."""
    assert found(GOOD[2], suites=("b",)) == []


ENTRY = '[[accepted]]\nsuite = "a"\nchecks = ["one"]\noutcome = "fail"\nreason = "r"\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[suites", "the table is no TOML"),
        ("", "the table lacks [suites]"),
        ("[suites]\na = 0", "a number of checks is a whole number above zero"),
        ("[suites]\na = true", "a number of checks is a whole number above zero"),
        ("[suites]\na = 1\n[others]", "the table has [suites] and [[accepted]]"),
        ("accepted = 1\n[suites]\na = 1", "accepted differences are written as [[accepted]]"),
        (
            "[suites]\na = 1\n" + ENTRY.replace('reason = "r"', ""),
            "an entry has exactly checks, outcome, reason, suite",
        ),
        ("[suites]\na = 1\n" + ENTRY.replace('"r"', '" "'), "every accepted difference has its reason"),
        (
            "[suites]\na = 1\n" + ENTRY.replace('"fail"', '"pass"'),
            "an accepted outcome is a text other than 'pass'",
        ),
        ("[suites]\na = 1\n" + ENTRY.replace('["one"]', "[]"), "checks is a list of names"),
        ("[suites]\na = 1\n" + ENTRY.replace('"a"', '"c"'), "the suite 'c' is not in [suites]"),
        ("[suites]\na = 1\n" + ENTRY + ENTRY, "a: one is listed twice"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(text: str, why: str) -> None:
    """With the place and the reason."""
    with pytest.raises(TableError, match=re.escape(why)):
        read(text)


def test_the_kept_table_has_every_suite_and_no_other() -> None:
    """A suite that nobody counts could run empty."""
    assert read(KEPT.read_text()).checks.keys() == SUITES.keys()


def test_the_docs_have_the_tables_numbers() -> None:
    """How many checks, and how many of them are listed: docs/x402.md adds up to the table."""
    kept = read(KEPT.read_text())
    section = (
        (ROOT / "docs/x402.md").read_text().partition("## What strangers' tests say")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"\| (\d+) \| (\d+) \|$", section, re.MULTILINE)
    assert sum(int(checks) for checks, _ in rows) == sum(kept.checks.values())
    assert sum(int(listed) for _, listed in rows) == len(kept.accepted)


def test_the_conclusion_names_differences_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit code is that of a failure, also where a suite broke off."""
    assert (
        conclude([Result("conformance", "F1", "fail")], ["conformance", "sdk-texts"], {"sdk-texts": "no time"})
        == 1
    )
    said = capsys.readouterr().out
    assert "DIFFERENT  sdk-texts: it broke off: no time" in said
    assert "DIFFERENT  conformance: F1: 'fail', and the table does not accept it" in said
    assert "where it is right so, say why in kept.toml" in said
