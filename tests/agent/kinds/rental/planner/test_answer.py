"""What a model sent back, read strictly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kinds.rental.planner.answer import Answer, NotUsable, read_action, read_completion
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait, beyond, check
from tests.agent.kinds.rental.planner.contexts import context, contexts

START = '{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 1, "reason": "cheapest {so far}"}'
NO_OBJECT = ["the answer is not exactly one valid JSON object"]


def said(text: str, *, cut_off: bool = False) -> Answer:
    """A model's answer."""
    return Answer(text=text, cut_off=cut_off, input_tokens=None, output_tokens=None)


def problems(answer: Answer, given_: PlanContext | None = None) -> list[str]:
    """Why the answer cannot be used, which must be the case."""
    with pytest.raises(NotUsable) as caught:
        read_action(answer, given_ or context())
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    "text",
    [
        START,
        f"\n  {START}\n",
        f"Here is my decision:\n```json\n{START}\n```\nGood luck!",
        f'<think>{{"action": "abort", "reason": "no"}} or rather</think>\n\n{START}',
    ],
)
def test_prose_around_the_object_is_tolerated(text: str) -> None:
    """Fences, chatter and reasoning aloud do not hide the one object."""
    assert read_action(said(text), context()) == StartJob(
        vendorId="gpu_vendor_1", maxHours=1, reason="cheapest {so far}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would rather not say.",
        "{",
        "}{",
        "[]",
        '"abort"',
        '{"action": "abort", "reason": "r"',
        '{"action": "abort", "reason": "r"} {"action": "abort", "reason": "r"}',
        f"{START}\n{START}",
        '{"action": "abort", "action": "start_job", "reason": "r"}',
        '{"action": "wait", "seconds": NaN, "reason": "r"}',
        '{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": Infinity, "reason": "r"}',
        "{'action': 'abort', 'reason': 'r'}",
        f'{{"action": "abort", "reason": "r", "n": {"9" * 5_000}}}',
        " " * 30_000 + START,
    ],
)
def test_anything_but_one_valid_object_is_refused(text: str) -> None:
    """No object, a broken one, two of them, a key twice, numbers that are none, length without bound."""
    assert problems(said(text)) == NO_OBJECT


def test_depth_without_bound_is_refused() -> None:
    """Thousands of nested objects are a bad answer, not a crash."""
    assert problems(said('{"a":' * 3_000 + "1" + "}" * 3_000))


def test_an_object_that_is_no_action_is_refused_field_by_field() -> None:
    """The problems name the fields, so that the model can do better."""
    text = '{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 0, "why": "cheap"}'

    assert problems(said(text)) == [
        "maxHours: Input should be greater than 0",
        "why: Extra inputs are not permitted",
    ]


@pytest.mark.parametrize("tag", ["think", "thinking", "THINK", "reasoning"])
def test_thoughts_that_do_not_end_are_no_answer(tag: str) -> None:
    """The model ran out of room while it weighed a plan: it has not decided."""
    found = problems(said(f"<{tag}>I could answer {START} but"))

    assert found == ["the answer is not exactly one valid JSON object"]


def test_an_unknown_action_is_refused() -> None:
    """The set is closed."""
    found = problems(said('{"action": "transfer_all", "reason": "r"}'))

    assert len(found) == 1
    assert found[0].startswith("action: Input tag 'transfer_all'")


def test_problems_are_bounded_and_clean() -> None:
    """A model's field names come from anywhere: few are repeated, short, and without escapes."""
    extra = {f"\x1b[2Jfield{n}" + " x" * 100: n for n in range(50)}

    found = problems(said(json.dumps({"action": "abort", "reason": "r", **extra})))

    assert len(found) == 5
    assert all(len(each) == 160 and each.startswith("field") for each in found)


def test_an_action_that_is_not_allowed_is_refused() -> None:
    """An answer must pass the same check as everything else."""
    assert problems(said(START), context(budget=1_000_000)) == ["gpu_vendor_1 costs 1.4 USD for 1 h, 1 USD remain"]


def test_an_answer_that_was_cut_off_is_refused() -> None:
    """Half an answer may look whole."""
    assert problems(said(START, cut_off=True)) == ["the answer was cut off; answer with the JSON object alone"]


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
    | st.fixed_dictionaries(
        {"action": st.sampled_from(["start_job", "wait", "abort"]), "reason": st.text(max_size=10)},
        optional={
            "vendorId": st.sampled_from(["vendor-0", "vendor-1", "nobody", "v 1"]),
            "maxHours": st.floats() | st.integers(),
            "seconds": st.integers() | st.floats(),
        },
    ).map(json.dumps),
    contexts,
)
def test_whatever_is_answered_only_allowed_actions_come_out(text: str, generated: PlanContext) -> None:
    """Any text at all is either refused or an action that passes the check."""
    try:
        action = read_action(said(text), generated)
    except NotUsable:
        return
    assert isinstance(action, StartJob | Wait | Abort)
    assert check(action, generated) == []
    assert beyond(action, generated) == []


def test_a_completion_gives_its_text_and_its_tokens() -> None:
    """The first choice is the answer; fields that are not used are not looked at."""
    body = json.dumps(
        {
            "id": 7,
            "choices": [
                {"index": "0", "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
            ],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": "many"},
        }
    )

    assert read_completion(body.encode()) == Answer(text="hi", cut_off=False, input_tokens=12, output_tokens=3)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"choices": [{"message": {"content": null}}]}', Answer("", False, None, None)),
        ('{"choices": [{"message": {}, "finish_reason": "length"}], "usage": null}', Answer("", True, None, None)),
        ('{"choices": [{"message": {"content": "x"}}], "usage": {}}', Answer("x", False, None, None)),
    ],
)
def test_a_completion_may_say_little(body: str, answer: Answer) -> None:
    """No content is an empty answer, and tokens that are not reported are not known."""
    assert read_completion(body.encode()) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"content": ["hi"]}}]}',
        b'{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": -1}}',
    ],
)
def test_another_body_is_no_completion(body: bytes) -> None:
    """The SDK would let these through, and break later."""
    assert read_completion(body) is None
