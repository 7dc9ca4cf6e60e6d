"""An export under both verifiers, the page's program and `purser audit verify FILE`: they find every lie."""

from __future__ import annotations

import io
import json
from functools import cache

import pytest

from scripts.audit.export import Plain, export_lines
from scripts.audit.judge import Audited, judge_export
from scripts.client.shapes import read_plainly
from tests.docs.audit_page import says_no, wrong
from tests.scripts.evidence import STORIES, Shown, shown
from tests.scripts.lies import about_fields, about_lines, closed_again

FAILED_OVER = "completed after a failure"


def lines_of(seen: Shown) -> list[str]:
    """Its export."""
    return [*export_lines(read_plainly(Plain, json.dumps(seen.answer)), seen.trail)]


@cache
def exported(story: str) -> tuple[str, ...]:
    """The export of this story's run."""
    return tuple(lines_of(shown(story)))


def command_says(lines: list[str]) -> Audited:
    """What `purser audit verify FILE` makes of a file with these lines."""
    text = "".join(f"{line}\n" for line in lines)
    return judge_export(io.BytesIO(text.encode()), "run.jsonl")


@pytest.mark.parametrize("story", STORIES)
def test_an_export_that_was_not_touched_holds(story: str) -> None:
    """With both."""
    lines = [*exported(story)]

    assert wrong(lines) is None
    assert command_says(lines).faults == ()
    assert command_says(lines).observations == shown(story).run["audit"]["seq"]


def found_by_both(lies: dict[str, list[str]]) -> list[str]:
    """Those that either of them lets through."""
    return [
        f"{name} ({which})"
        for name, lines in lies.items()
        for which, found in (("page", says_no(lines)), ("command", bool(command_says(lines).faults)))
        if not found
    ]


def lies_in(lines: list[str], kinds: tuple[str, ...]) -> dict[str, list[str]]:
    """Each field of each line of these kinds changed in each way."""
    told = {}
    for number, line in enumerate(lines):
        if ("header" if number == 0 else next(iter(json.loads(line)))) in kinds:
            for name, lie in about_fields(line):
                told[f"line {number + 1}: {name}"] = [*lines[:number], lie, *lines[number + 1 :]]
    return told


@pytest.mark.parametrize("story", [FAILED_OVER, "not clear yet"])
def test_every_change_of_every_field_of_a_record_is_found(story: str) -> None:
    """Header, payments, jobs and the last line, in whatever way they are changed."""
    lies = lies_in([*exported(story)], ("header", "payment", "job", "end"))

    assert len(lies) > 100
    assert found_by_both(lies) == []


def test_every_change_of_every_field_of_an_observation_is_found() -> None:
    """At any depth of its data."""
    assert found_by_both(lies_in([*exported("not clear yet")], ("observation",))) == []


@pytest.mark.parametrize("story", STORIES)
def test_who_makes_the_last_line_anew_is_found_by_the_trail(story: str) -> None:
    """A forger who knows the format: what he changes of a record, the trail tells otherwise."""
    lies = lies_in([*exported(story)], ("header", "payment", "job"))
    forged = {name: closed_again(lines) for name, lines in lies.items()}

    assert found_by_both(forged) == []


def test_whether_a_vendor_has_begun_is_not_told() -> None:
    """The one thing of which the last line alone speaks: a live job is submitted or running, and nothing else."""
    lines = [*exported("at work")]
    for status, holds in (("submitted", True), ("pending", False), ("completed", False), ("queued", False)):
        was, now = (f'"status":"{each}","expectedCost"' for each in ("running", status))
        lie = [line.replace(was, now) for line in lines]

        assert lie != lines
        assert found_by_both({"": lie}) == []
        assert (wrong(closed_again(lie)) is None, command_says(closed_again(lie)).faults == ()) == (holds, holds)


def test_who_makes_the_last_line_anew_over_an_observation_is_found_by_its_hash() -> None:
    """And by its neighbours'."""
    lies = lies_in([*exported("not clear yet")], ("observation",))

    assert found_by_both({name: closed_again(lines) for name, lines in lies.items()}) == []


def test_lines_cannot_be_dropped_doubled_moved_or_put_in() -> None:
    """With the last line made anew and without."""
    lies = dict(about_lines([*exported(FAILED_OVER)]))
    forged = {
        name: closed_again(lines) for name, lines in lies.items() if '"end"' in lines[-1] and "" not in lines
    }

    assert len(forged) > 100
    assert found_by_both(lies | forged) == []


def parsed(lines: list[str]) -> bool:
    """Whether a forger could compute its hashes at all."""
    try:
        return all(isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        return False


def test_who_makes_all_hashes_anew_is_found_by_the_command_where_the_page_finds_him() -> None:
    """The command knows more rules. What is sound in itself only a kept head finds, and that always."""
    lines = [*exported(FAILED_OVER)]
    head = json.loads(lines[0])["head"]
    lies = {name: lie for name, lie in lies_in(lines, ("observation",)).items() if parsed(lie)}
    sound = 0
    for name, lie in lies.items():
        try:
            forged = closed_again(lie, chained=True)
        except (KeyError, TypeError, AttributeError):
            continue
        sound += not says_no(forged)
        assert bool(command_says(forged).faults) or not says_no(forged), name
        assert says_no(forged, head) or forged == closed_again(lines, chained=True), name
    assert sound > 100, "there are consistent lies, and the page says so"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"", "it does not begin as an export"),
        (b"\x00\xff\n", "line 1 cannot be read: it is not ASCII"),
        (b"[]\n", "line 1 is no JSON object"),
        (b'{"a":NaN}\n', "line 1 cannot be read"),
        (b'{"format":"purser-audit/1"}\n', "its format is purser-audit/1, this command checks purser-audit/2"),
        (b'{"format":"purser-audit/2"}\n', "the last line, with the hash of all others, is missing"),
        (b'{"format":"purser-audit/2"}', "line 1 is written in another way"),
        (b'{"format":"purser-audit/2"}\r\n', "line 1 is written in another way"),
        (b'{"format":"purser-audit/2"}\n{"job":[]}\n', "line 2 is not one that belongs there"),
        (b'{"format":"purser-audit/2"}\n{"end":{}}\n', "header, payments or jobs cannot be read: run._id"),
        (b'{"format":"purser-audit/2"}\n' + b'{"job":{}}\n' * 10_001, "line 10002 is one payment or job too many"),
        (b'{"format":"' + b"x" * 5_000_000 + b'"}\n', "line 1 cannot be read"),
    ],
)
def test_a_file_that_is_no_export_is_told_apart(text: bytes, finding: str) -> None:
    """One finding, with the line; never an exception."""
    (fault,) = judge_export(io.BytesIO(text), "run.jsonl").faults

    assert fault.startswith(finding)


def test_a_finding_names_the_field(exported_lines: list[str]) -> None:
    """Which record, which field, what it is and what the trail tells."""
    at = next(number for number, line in enumerate(exported_lines) if line.startswith('{"job"'))
    job = json.loads(exported_lines[at])["job"]
    told, job["jobParams"]["maxHours"] = job["jobParams"]["maxHours"], 12.5
    lines = [*exported_lines[:at], json.dumps({"job": job}, separators=(",", ":")), *exported_lines[at + 1 :]]

    assert command_says(closed_again(lines)).faults == (
        f"job {job['_id']}: jobParams: maxHours is 12.5, the trail tells {told}",
    )


@pytest.fixture
def exported_lines() -> list[str]:
    """An export."""
    return [*exported(FAILED_OVER)]


def before_this_format(seen: Shown) -> None:
    """The trail as it was written before purser-audit/2."""
    for entry in seen.trail:
        for key in ("expectedCostUsd", "jobParams", "createdAt", "completedAt"):
            entry["data"].pop(key, None)
        if entry["type"].startswith("run_"):
            entry["data"].pop("message", None)


@pytest.mark.parametrize("story", ["completed after a failure", "called off", "nobody took it"])
def test_of_an_older_trail_the_last_line_speaks_for_what_it_does_not_tell(story: str) -> None:
    """Such a run is verified; a forger who makes that line anew gets through with these fields and no others."""
    seen = shown(story)
    before_this_format(seen)
    lines = closed_again(lines_of(seen), chained=True)
    lies = lies_in(lines, ("header", "payment", "job"))
    forged = {name: closed_again(each) for name, each in lies.items()}
    through = {name.split(": ", 1)[1].removeprefix("no ").split(" ")[0] for name in found_by_both(forged)}

    assert (wrong(lines), command_says(lines).faults) == (None, ())
    assert found_by_both(lies) == []
    assert through <= {
        *("job.expectedCost", "job.createdAt", "run.completedAt", "run.failure.message"),
        *(f"job.jobParams.{name}" for name in ("jobType", "gpuType", "maxHours")),
    }
