"""What a model sent back, read strictly: an answer is an action of the closed set, or a list of problems."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from agent.kinds.rental.planner.context import Abort, Action, PlanContext, StartJob, Wait, beyond, check
from net.strict_json import load_json
from vendors.text import clean

__all__ = ["Answer", "NotUsable", "read_action", "read_completion"]

_THOUGHTS_BEGIN: Final = re.compile(r"(?i)<(?:think|thinking|thought|reasoning)>")
_THOUGHTS_END: Final = re.compile(r"(?i)</(?:think|thinking|thought|reasoning)>")
_MAX_ANSWER: Final = 20_000
_MAX_PROBLEMS: Final = 5
_MAX_PROBLEM: Final = 160
_ACTION: Final[TypeAdapter[StartJob | Wait | Abort]] = TypeAdapter(Action)


class NotUsable(ValueError):
    """The text is no action. `problems` say why, fit to be shown and to be quoted back to the model."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion. `cut_off`: the model ran out of tokens. Token counts are None where none were reported."""

    text: str
    cut_off: bool
    input_tokens: int | None
    output_tokens: int | None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(None, ge=0, le=10**9)
    completion_tokens: int | None = Field(None, ge=0, le=10**9)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_completion(body: bytes) -> Answer | None:
    """The answer in the body of a chat completion; None if the body is none. Other fields are not looked at."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        return None
    choice, usage = completion.choices[0], completion.usage or _Usage()
    return Answer(
        text=choice.message.content or "",
        cut_off=choice.finish_reason == "length",
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def read_action(answer: Answer, context: PlanContext) -> StartJob | Wait | Abort:
    """The one JSON object in the answer, as an action that passes `check`.

    Prose around the object is tolerated, a second object is not.

    Raises:
        NotUsable: there is no such object, it is no action, or the action is not allowed.
    """
    if answer.cut_off:
        raise NotUsable(["the answer was cut off; answer with the JSON object alone"])
    try:
        action = _ACTION.validate_python(load_json(_only_object(answer.text)))
    except ValidationError as exc:
        raise NotUsable(_problems(exc)) from None
    except ValueError:
        raise NotUsable(["the answer is not exactly one valid JSON object"]) from None
    if problems := [*check(action, context), *beyond(action, context)]:
        raise NotUsable(problems)
    return action


def _only_object(text: str) -> str:
    """From the first brace to the last: a second object makes it invalid. Some models think aloud before: what
    they think is no answer, least of all where it never ends.
    """
    said = _THOUGHTS_BEGIN.split(_THOUGHTS_END.split(text[:_MAX_ANSWER])[-1])[0]
    return said[said.find("{") : said.rfind("}") + 1]


def _problems(exc: ValidationError) -> list[str]:
    errors = exc.errors(include_url=False, include_context=False, include_input=False)[:_MAX_PROBLEMS]
    return [
        clean(f"{'.'.join(map(str, each['loc'][1:])) or 'action'}: {each['msg']}", _MAX_PROBLEM) for each in errors
    ]
