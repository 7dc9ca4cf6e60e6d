"""The planner that asks a model at Fireworks. Where no usable answer comes in time, the fallback planner decides.

The SDK (fireworks-ai 1.2) is imported with the first plan, not before: it takes 0.6 s, aiohttp included. What is
known of it, read in its source:

- Without `base_url` it reads FIREWORKS_BASE_URL, and posts to another path than with one. So one is always given.
- Its own HTTP client is built on aiohttp, follows redirects and reads bodies of any size. It gets an httpx client
  on a `BoundedTransport` instead, closed after each request, so that nothing is bound to an event loop.
- It does not validate answers (a wrong shape surfaces as AttributeError). So the raw body is read here.
- Its status errors quote the body, which may quote the key. So their text is used with care, and never chained.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import SecretStr

from agent.book.errors import ConfigurationError
from agent.kinds.rental.planner import MAX_REPLY, Asked, Plan, Planner
from agent.kinds.rental.planner.answer import Answer, NotUsable, read_action, read_completion
from agent.kinds.rental.planner.context import Abort, PlanContext, StartJob, Wait
from agent.kinds.rental.planner.prompt import PROMPT_VERSION, SYSTEM, Refused, question, schema
from net.addresses import is_loopback
from net.retry_after import seconds_to_wait
from vendors.text import clean
from x402.client import BoundedTransport

if TYPE_CHECKING:
    import fireworks

__all__ = ["DEFAULT_BASE_URL", "MAX_TOKENS", "FireworksPlanner"]

DEFAULT_BASE_URL: Final = "https://api.fireworks.ai/inference"
"""The SDK appends `/v1/chat/completions`."""

MAX_TOKENS: Final = 4_096
"""Most tokens of an answer, thinking aloud included."""

_FIRST_SHARE: Final = 2 / 3
"""Share of the time that a request may take while another one may still follow it."""

_LEAST_SECONDS: Final = 0.1
"""No model answers faster than this: with less time left none is asked."""

_PAUSE: Final = 0.5
"""Seconds before the same question is asked again, where the service names no time."""

_MAX_BODY: Final = 1024 * 1024
_MAX_FALLBACK: Final = 500
_MAX_SAID: Final = 200
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_LATER: Final = frozenset({408, 409, 429})
_HINTS: Final = {401: "check FIREWORKS_API_KEY", 403: "check FIREWORKS_API_KEY", 404: "check FIREWORKS_MODEL"}


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A request that brought no completion. `again_after`: seconds until it is worth another try, None: never."""

    why: str
    again_after: float | None


class FireworksPlanner:
    """Asks `model`; at most once more after an answer that is no allowed action, with the reason, and at most once
    more after a time-out, a 429 or a 5xx. Then `fallback` decides, and the plan says why.
    """

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        fallback: Planner,
        base_url: str | None = None,
        input_price: int | None = None,
        output_price: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`input_price` and `output_price` in micro-dollars per million tokens; without them cost is not known.

        Raises:
            ConfigurationError: the key or the address cannot be one. The message names the variable, not the key.
        """
        if not _VISIBLE.fullmatch(api_key):
            raise ConfigurationError(
                "FIREWORKS_API_KEY must be the key alone: no spaces, line breaks or other signs"
            )
        self._key = SecretStr(api_key)
        self._model = model
        self._fallback = fallback
        self._base_url = _base_url(base_url)
        self._prices = (input_price, output_price)
        self._clock = clock
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"FireworksPlanner(model={self._model!r})"

    async def plan(self, context: PlanContext, timeout: float) -> Plan:  # noqa: ASYNC109 (it plans for its retries)
        """The model's action if one comes that passes `check`, else the fallback's. The service never raises."""
        session = _Session(self._clock, timeout)
        import fireworks  # noqa: F401 (before any request is timed: the first import is slow)

        found = await self._decide(context, session)
        if isinstance(found, str):
            instead = await self._fallback.plan(context, session.left())
            why = clean(found, _MAX_FALLBACK)
            return replace(self._plan(instead.action, session), planner=instead.planner, fallback=why)
        return self._plan(found, session)

    def _plan(self, action: StartJob | Wait | Abort, session: _Session) -> Plan:
        return Plan(
            action=action,
            planner="fireworks",
            model=self._model,
            prompt_version=PROMPT_VERSION,
            input_tokens=session.input_tokens,
            output_tokens=session.output_tokens,
            latency_ms=round(session.spent() * 1_000),
            cost_usd_micro=_cost(session, *self._prices),
            fallback=None,
            asked=tuple(session.asked),
        )

    async def _decide(self, context: PlanContext, session: _Session) -> StartJob | Wait | Abort | str:
        """The model's action, or why there is none."""
        why, was_trouble = "no time was left to ask", False
        refused: Refused | None = None
        while True:
            seconds = session.left() * (1 if was_trouble else _FIRST_SHARE)
            if seconds < _LEAST_SECONDS:
                return why
            text = question(context, refused)
            answer = await self._ask(context, text, seconds)
            if isinstance(answer, _Trouble):
                pause = answer.again_after
                if was_trouble or pause is None or pause + _LEAST_SECONDS > session.left():
                    session.note(text, None, [answer.why])
                    return answer.why
                session.note(text, None, [answer.why], pause)
                why, was_trouble = answer.why, True
                await self._sleep(pause)
                continue
            session.count(answer)
            try:
                action = read_action(answer, context)
            except NotUsable as exc:
                session.note(text, answer.text, exc.problems)
                why = f"the model's answer could not be used: {exc}"
                if refused is not None:
                    return why
                refused = Refused(answer.text, exc.problems)
            else:
                session.note(text, answer.text, [])
                return action

    async def _ask(self, context: PlanContext, text: str, seconds: float) -> Answer | _Trouble:
        """One request, over when `seconds` are, however slowly bytes drip in."""
        import fireworks

        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(transport=BoundedTransport(httpx.AsyncHTTPTransport(), _MAX_BODY)) as http,
            ):
                client = fireworks.AsyncFireworks(
                    api_key=self._key.get_secret_value(),
                    base_url=self._base_url,
                    timeout=seconds,
                    max_retries=0,
                    http_client=http,
                )
                completion = await client.chat.completions.with_raw_response.create(
                    model=self._model,
                    messages=[
                        {"role": "system", "content": SYSTEM},
                        {"role": "user", "content": text},
                    ],
                    response_format={
                        "type": "json_schema",
                        "json_schema": {"name": "action", "schema": schema(context)},
                    },
                    temperature=0,
                    max_tokens=MAX_TOKENS,
                )
                body = completion.http_response.content
        except (TimeoutError, fireworks.APITimeoutError):
            return _Trouble(f"Fireworks did not answer within {seconds:.1f} s", 0)
        except fireworks.APIStatusError as exc:
            return self._refusal(exc, context)
        except fireworks.FireworksError:
            return _Trouble("Fireworks could not be reached, or its answer not be read", _PAUSE)
        answer = read_completion(body)
        if answer is None:
            return _Trouble("Fireworks answered with something that is no completion", _PAUSE)
        return replace(answer, text=answer.text.replace(self._key.get_secret_value(), "***"))

    def _refusal(self, exc: fireworks.APIStatusError, context: PlanContext) -> _Trouble:
        why, status = f"Fireworks answered {exc.status_code}", exc.status_code
        if status in _LATER or status >= 500:
            pause = seconds_to_wait(exc.response.headers.get("retry-after"), context.now)
            if pause is None:
                return _Trouble(why, _PAUSE)
            return _Trouble(f"{why} and asks to wait {pause:g} s", pause)
        if status in _HINTS:
            return _Trouble(f"{why}; {_HINTS[status]}", None)
        said = exc.response.text.replace(self._key.get_secret_value(), "***")
        return _Trouble(f"{why}: {clean(said, _MAX_SAID)}", None)


class _Session:
    """Time, tokens and questions of one plan."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds = seconds
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.asked: list[Asked] = []

    def spent(self) -> float:
        return self._clock() - self._began

    def left(self) -> float:
        return max(0.0, self._seconds - self.spent())

    def note(self, text: str, reply: str | None, problems: Sequence[str], waited: float = 0.0) -> None:
        """Keep a question and what came of it."""
        hashed = hashlib.sha256(f"{SYSTEM}{text}".encode()).hexdigest()
        kept = None if reply is None else reply.encode("utf-8", "replace")[:MAX_REPLY].decode("utf-8", "ignore")
        self.asked.append(Asked(hashed, kept, tuple(problems), waited))

    def count(self, answer: Answer) -> None:
        self.input_tokens = _sum(self.input_tokens, answer.input_tokens)
        self.output_tokens = _sum(self.output_tokens, answer.output_tokens)


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more


def _cost(session: _Session, input_price: int | None, output_price: int | None) -> int | None:
    """In micro-dollars, rounded up."""
    tokens = session.input_tokens, session.output_tokens
    if input_price is None or output_price is None or tokens[0] is None or tokens[1] is None:
        return None
    return -(-(tokens[0] * input_price + tokens[1] * output_price) // 1_000_000)


def _base_url(given: str | None) -> str:
    """The address as the SDK wants it: without the `/v1` of Fireworks' documentation, which it adds itself."""
    if given is None:
        return DEFAULT_BASE_URL
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if not url.host or not (url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))):
        raise ConfigurationError(f"FIREWORKS_BASE_URL must be an https address like {DEFAULT_BASE_URL}")
    return given.rstrip("/").removesuffix("/v1")
