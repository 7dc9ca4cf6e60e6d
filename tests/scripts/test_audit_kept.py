"""What somebody kept of a run, held against what is there now: it only goes on, or it is named."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scripts.audit.export import Plain, export_lines
from scripts.audit.exported import Malformed
from scripts.audit.judge import judge_export
from scripts.audit.kept import read_kept
from scripts.client.shapes import read_plainly
from tests.api.client import an_api
from tests.docs.audit_page import says_no
from tests.scripts.lies import closed_again, written


@cache
def grown() -> tuple[tuple[str, ...], ...]:
    """The exports of one run that failed over: when it had started, and after each of its ticks."""
    return asyncio.run(_growing())


async def _growing() -> tuple[tuple[str, ...], ...]:
    api, exports = await an_api("gpu_vendor_1:fail_at_epoch=2"), []
    run_id, running = (await api.started())["_id"], True
    while running:
        answer = (await api.http.get("/api/agent-status", params={"runId": run_id, "limit": 500})).text
        exports.append(tuple(export_lines(read_plainly(Plain, answer), json.loads(answer)["observations"])))
        running = json.loads(answer)["run"]["status"] == "running"
        await api.post("/api/agent-tick", {"runId": run_id})
        api.stage.clock.pass_(20)
    return tuple(exports)


@pytest.fixture
def against(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """What is found in an export with another text kept as OLDER."""

    def found(lines: list[str] | tuple[str, ...], *older: str) -> tuple[str, ...]:
        (tmp_path / "OLDER").write_text("".join(f"{line}\n" for line in older))
        text = "".join(f"{line}\n" for line in lines)
        return judge_export(io.BytesIO(text.encode()), "FILE", read_kept(tmp_path / "OLDER")).faults

    return found


Against = Callable[..., tuple[str, ...]]


def head_of(lines: tuple[str, ...]) -> dict[str, Any]:
    """Number and hash of the newest observation."""
    head: dict[str, Any] = json.loads(lines[0])["head"]
    return head


def line_of_heads(lines: tuple[str, ...]) -> str:
    """As purser audit root writes it."""
    header = json.loads(lines[0])
    return f"{header['runId']} {header['head']['seq']} {header['head']['hash']}"


def test_a_run_that_went_on_agrees_with_all_that_was_kept_of_it(against: Against) -> None:
    """Each export with each before it; its header alone, its line in a list of heads, an export of before."""
    exports = grown()
    assert len(exports) > 5
    for number, now in enumerate(exports):
        for older in exports[: number + 1]:
            assert against(now, *older) == ()
            assert not says_no([*now], head_of(older))
        assert against(now, exports[0][0]) == ()
        assert against(now, line_of_heads(exports[0])) == ()
        assert against(now, *(line.replace("purser-audit/2", "purser-audit/1") for line in exports[0][:-1])) == ()


def test_a_trail_that_was_cut_with_its_run_is_found(against: Against) -> None:
    """An export of before is sound in itself; by what was kept later its end is missing, and payments are gone."""
    exports = grown()
    before, now = exports[0], exports[-1]
    length, was = head_of(now)["seq"], head_of(before)["seq"]

    assert f"the trail ends with observation {was}, in OLDER it went on to {length}" in against(before, *now)
    assert any(" is gone: OLDER has it" in fault for fault in against(before, *now))
    assert against(before, line_of_heads(now)) == (
        f"the trail ends with observation {was}, in OLDER it went on to {length}",
    )
    assert says_no([*before], head_of(now))


def rewritten(lines: tuple[str, ...], number: int) -> list[str]:
    """A history with another word in one observation, and all hashes made anew."""
    changed = json.loads(lines[number])
    changed["observation"]["data"]["note"] = "they say"
    return closed_again([*lines[:number], written(changed), *lines[number + 1 :]], chained=True)


def test_a_history_that_was_rewritten_is_found_from_where_it_was(against: Against) -> None:
    """All of it is sound in itself. Up to what was kept each change is found; what came later nobody kept."""
    older, now = grown()[2], grown()[-1]
    for number in range(1, head_of(now)["seq"] + 1):
        lies = rewritten(now, number)
        end, since = head_of(older)["seq"], "is another than in OLDER: the history from there on was rewritten"
        named, last, known = f"observation {number} {since}", f"observation {end} {since}", number <= end

        assert against(lies, *older) == ((named,) if known else ())
        assert against(lies, older[0]) == against(lies, line_of_heads(older)) == ((last,) if known else ())
        assert says_no(lies, head_of(older)) is known


PARAMS = {"jobType": "fine_tune", "gpuType": "A100", "maxHours": 1.0, "goal": "Fine-tune tiny-llm"}
RECORDS = [
    ("payment", "status", "pending", "completed", True),
    ("payment", "status", "unresolved", "completed", False),
    ("payment", "status", "completed", "pending", False),
    ("payment", "x402TxId", None, "0x01", True),
    ("payment", "x402TxId", "0x01", "0x02", False),
    ("payment", "payTo", None, "0x01", False),
    ("payment", "amount", 1.4, 1.5, False),
    ("payment", "amount", 1, 1.0, False),
    ("job", "status", "pending", "running", True),
    ("job", "status", "submitted", "failed", True),
    ("job", "status", "failed", "completed", False),
    ("job", "actualCost", None, 0, True),
    ("job", "actualCost", 0, 1.4, False),
    ("job", "vendorJobId", None, "job_1", True),
    ("job", "expectedCost", 1.4, 1.3, False),
    ("job", "jobParams", PARAMS, {**PARAMS, "maxHours": 2.0}, False),
    ("job", "createdAt", None, "2026-11-21T08:00:00.000Z", False),
]


@pytest.mark.parametrize(("kind", "field", "was", "now", "may"), RECORDS)
def test_payments_and_jobs_only_go_on(
    against: Against, kind: str, field: str, was: Any, now: Any, may: bool
) -> None:
    """What trails from before did not tell is held against the kept export itself."""
    lines = [*grown()[-1]]
    at = next(number for number, line in enumerate(lines) if line.startswith(f'{{"{kind}"'))
    record = json.loads(lines[at])[kind]
    older = [*lines[:at], written({kind: {**record, field: was}}), *lines[at + 1 :]]
    lines[at] = written({kind: {**record, field: now}})
    said = f"{kind} {record['_id']}: {field} is {written(now)}, in OLDER it was {written(was)}"

    assert (said in against(closed_again(lines), *older)) is not may


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense\n", "line 1 is no head of a run, and the file does not begin as an export"),
        (f"{'a' * 24} 0 {'b' * 64}\n", "line 1 is no head"),
        (f"{'a' * 24} 1 {'b' * 64}\n{'a' * 24} 1 {'b' * 64}", "line 2 is no head"),
        ("{}\n", "its first line has no runId, or no head"),
        ('{"runId":"a","head":{"seq":"1","hash":"b"}}\n', "its first line has no runId, or no head"),
        ('{"runId": "a"}\n', "line 1 is written in another way"),
        ("{\n", "line 1 cannot be read"),
    ],
)
def test_what_was_not_kept_whole_is_told_apart(tmp_path: Path, text: str, why: str) -> None:
    """Nothing can be held against it."""
    (tmp_path / "OLDER").write_text(text)

    with pytest.raises(Malformed, match=why):
        read_kept(tmp_path / "OLDER")


def test_a_kept_export_that_was_changed_is_told_apart(tmp_path: Path) -> None:
    """By its own hashes: what it says of the run is worth nothing."""
    lines = [line.replace('"Run started"', '"Run began"') for line in grown()[2]]
    (tmp_path / "OLDER").write_text("".join(f"{line}\n" for line in lines))

    with pytest.raises(Malformed, match="it does not hold itself: observation 1 was changed"):
        read_kept(tmp_path / "OLDER")


def test_an_empty_list_of_heads_knows_nothing(tmp_path: Path) -> None:
    """Of a server without runs."""
    (tmp_path / "HEADS").write_text("")

    assert read_kept(tmp_path / "HEADS").trails == {}
