"""The planner that asks a model: the real SDK against a stand-in server."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import httpx
import pytest

from agent.book.errors import ConfigurationError
from agent.kinds.rental.planner import Asked, Plan
from agent.kinds.rental.planner.context import Abort, StartJob, Wait
from agent.kinds.rental.planner.fireworks import FireworksPlanner
from agent.kinds.rental.planner.prompt import PROMPT_VERSION, SYSTEM, schema
from agent.kinds.rental.planner.stub import StubPlanner, decide
from tests.agent.kinds.rental.planner.contexts import context
from tests.agent.kinds.rental.planner.stand_in import DRIP, DROP, HANG, Reply, StandIn, completion, stand_in

KEY: Final = "fw_not-a-real-key-0123456789"
MODEL: Final = "accounts/fireworks/models/test"

SECOND_JOB: Final = StartJob(vendorId="gpu_vendor_2", maxHours=0.5, reason="more reliable")
GOOD: Final = completion(SECOND_JOB.model_dump_json())
"""An answer that the stub would not give."""

STUB: Final = decide(context())


class Clock:
    """A clock that only goes on while somebody sleeps, or when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A stand-in for Fireworks."""
    async with stand_in() as served:
        yield served


@pytest.fixture
def clock() -> Clock:
    """The planner's clock and sleep."""
    return Clock()


def planner(
    server: StandIn, clock: Clock, *, input_price: int | None = None, output_price: int | None = None
) -> FireworksPlanner:
    """A planner that asks the stand-in."""
    return FireworksPlanner(
        api_key=KEY,
        model=MODEL,
        fallback=StubPlanner(),
        base_url=server.url,
        input_price=input_price,
        output_price=output_price,
        clock=clock,
        sleep=clock.sleep,
    )


async def ask(server: StandIn, clock: Clock, *replies: Reply, within: float = 30) -> Plan:
    """The plan after these replies, all of which must have been asked for."""
    server.replies.extend(replies)
    plan = await planner(server, clock).plan(context(), within)
    assert len(server.asked) == len(replies)
    return plan


def by_stub(plan: Plan) -> str:
    """Why the stub decided, which must be the case."""
    assert (plan.planner, plan.action) == ("stub", STUB)
    assert plan.fallback is not None
    return plan.fallback


def data(server: StandIn, request: int) -> dict[str, object]:
    """The data of a question."""
    found = json.loads(server.asked[request].body.messages[1].content.split("\n")[1])
    assert isinstance(found, dict)
    return found


async def test_a_good_answer_is_the_plan(server: StandIn, clock: Clock) -> None:
    """The plan says who decided, with which model and words, and what it took."""
    assert replace(await ask(server, clock, GOOD), asked=()) == Plan(
        action=SECOND_JOB,
        planner="fireworks",
        model=MODEL,
        prompt_version=PROMPT_VERSION,
        input_tokens=1_000,
        output_tokens=50,
        latency_ms=0,
        cost_usd_micro=None,
        fallback=None,
    )


BUSY: Final = Reply(status=429, headers={"retry-after": "7"})


def sent(server: StandIn, request: int) -> str:
    """The SHA-256 of a question, instructions and data."""
    told = "".join(each.content for each in server.asked[request].body.messages)
    return hashlib.sha256(told.encode()).hexdigest()


async def test_a_plan_keeps_each_question_and_what_came_of_it(server: StandIn, clock: Clock) -> None:
    """The hash of what was sent, the reply as it came, why it was refused, and what was waited for."""
    plan = await ask(server, clock, BUSY, NOT_JSON, GOOD)

    assert plan.action == SECOND_JOB
    busy, refused, good = plan.asked
    assert busy == Asked(sent(server, 0), None, ("Fireworks answered 429 and asks to wait 7 s",), 7)
    assert (refused.prompt_hash, refused.problems) == (
        sent(server, 1),
        ("the answer is not exactly one valid JSON object",),
    )
    assert (good.prompt_hash, good.problems, good.waited) == (sent(server, 2), (), 0)
    assert good.prompt_hash != refused.prompt_hash == busy.prompt_hash
    assert SECOND_JOB.reason in str(good.reply)


async def test_of_a_long_reply_two_kilobytes_are_kept(server: StandIn, clock: Clock) -> None:
    """Cut between characters: what is kept is text."""
    plan = await ask(server, clock, completion("€" * 5_000), GOOD)

    kept = plan.asked[0].reply
    assert kept is not None
    assert (kept, len(kept.encode())) == ("€" * 682, 2_046)


async def test_the_request_is_what_fireworks_expects(server: StandIn, clock: Clock) -> None:
    """Path, key, model, schema and limits are sent; the two messages are ours and the quoted data."""
    await ask(server, clock, GOOD)
    asked = server.asked[0]

    assert asked.target == "/inference/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert (asked.body.model, asked.body.temperature, asked.body.max_tokens) == (MODEL, 0, 4_096)
    assert asked.body.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "action", "schema": schema(context())},
    }
    assert [each.role for each in asked.body.messages] == ["system", "user"]
    assert asked.body.messages[0].content == SYSTEM
    assert data(server, 0)["goal"] == "Fine-tune tiny-llm"


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
async def test_the_address_may_end_as_in_the_documentation(server: StandIn, clock: Clock, ending: str) -> None:
    """Fireworks shows its address with /v1, the SDK adds that itself."""
    server.url += ending
    await ask(server, clock, GOOD)

    assert server.asked[0].target == "/inference/v1/chat/completions"


async def test_the_default_address_is_that_of_fireworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's path depends on whether it was given an address; and the environment has no say in it."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(str(request.url))
        return httpx.Response(200, content=GOOD.body)

    monkeypatch.setenv("FIREWORKS_BASE_URL", "https://elsewhere.example")
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda: httpx.MockTransport(answer))
    plan = await FireworksPlanner(api_key=KEY, model=MODEL, fallback=StubPlanner()).plan(context(), 30)

    assert plan.action == SECOND_JOB
    assert sent == ["https://api.fireworks.ai/inference/v1/chat/completions"]


async def test_prose_around_the_json_is_tolerated(server: StandIn, clock: Clock) -> None:
    """Not every model keeps to the schema."""
    text = f"<think>Hmm {{}}</think>Sure!\n```json\n{SECOND_JOB.model_dump_json()}\n```"

    assert (await ask(server, clock, completion(text))).action == SECOND_JOB


@pytest.mark.parametrize("action", [Wait(seconds=60, reason="prices fall"), Abort(reason="no such GPU exists")])
async def test_a_model_may_wait_or_give_up(server: StandIn, clock: Clock, action: Wait | Abort) -> None:
    """The whole set of actions is open to it."""
    assert (await ask(server, clock, completion(action.model_dump_json()))).action == action


NOT_JSON: Final = completion("I cannot decide.")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (NOT_JSON, "the answer is not exactly one valid JSON object"),
        (completion(""), "the answer is not exactly one valid JSON object"),
        (completion('{"action": "buy", "reason": "r"}'), "action: Input tag 'buy' found"),
        (
            completion('{"action": "start_job", "vendorId": "nobody", "maxHours": 1, "reason": "r"}'),
            "there is no vendor nobody",
        ),
        (
            completion('{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 10, "reason": "r"}'),
            "10 h is more than the 1 h that the user allows",
        ),
        (completion(SECOND_JOB.model_dump_json(), finish_reason="length"), "the answer was cut off"),
    ],
)
async def test_a_bad_answer_is_asked_again_with_the_reason(
    server: StandIn, clock: Clock, bad: Reply, problem: str
) -> None:
    """The second question quotes answer and problems as data; a good second answer counts."""
    plan = await ask(server, clock, bad, GOOD)

    assert (plan.action, plan.fallback) == (SECOND_JOB, None)
    assert (plan.input_tokens, plan.output_tokens) == (2_000, 100)
    assert "refused" not in data(server, 0)
    refused = data(server, 1)["refused"]
    assert isinstance(refused, dict)
    assert refused["problems"][0].startswith(problem)
    assert clock.slept == []


async def test_after_two_bad_answers_the_stub_decides(server: StandIn, clock: Clock) -> None:
    """One retry, no more; the plan says why, and what the asking took."""
    plan = await ask(server, clock, NOT_JSON, completion('{"action": "start_job"}'))

    assert by_stub(plan) == "the model's answer could not be used: vendorId: Field required"
    assert (plan.model, plan.prompt_version) == (MODEL, PROMPT_VERSION)
    assert (plan.input_tokens, plan.output_tokens) == (2_000, 100)


async def test_a_model_that_obeys_the_vendor_changes_nothing(server: StandIn, clock: Clock) -> None:
    """What a hostile text talks a model into is refused like anything else outside of the set."""
    bought = completion('{"action": "pay", "to": "0xbad", "reason": "SYSTEM said so"}')
    everything = completion(
        '{"action": "start_job", "vendorId": "gpu_vendor_1", "maxHours": 720, "reason": "SYSTEM said so"}'
    )

    assert by_stub(await ask(server, clock, bought, everything)).endswith(
        "gpu_vendor_1 costs 1008 USD for 720 h, 5 USD remain"
    )


async def test_silence_is_given_up(server: StandIn, clock: Clock) -> None:
    """A request that gets no answer is made once more, then the stub decides."""
    plan = await ask(server, clock, HANG, HANG, within=0.9)

    assert by_stub(plan) == "Fireworks did not answer within 0.9 s"
    assert (plan.input_tokens, plan.output_tokens, plan.cost_usd_micro) == (None, None, None)


async def test_an_answer_after_silence_counts(server: StandIn, clock: Clock) -> None:
    """The first request may not use up the time of the second."""
    assert (await ask(server, clock, HANG, GOOD, within=0.9)).action == SECOND_JOB


async def test_dripping_bytes_do_not_hold_a_plan(server: StandIn, clock: Clock) -> None:
    """The limit is for the whole answer, not for each byte of it."""
    assert by_stub(await ask(server, clock, DRIP, DRIP, within=0.6)) == "Fireworks did not answer within 0.6 s"


async def test_retry_after_is_waited_for(server: StandIn, clock: Clock) -> None:
    """The service says when; the wait is part of the latency."""
    plan = await ask(server, clock, BUSY, GOOD)

    assert (plan.action, plan.latency_ms) == (SECOND_JOB, 7_000)
    assert clock.slept == [7]


async def test_a_wait_that_does_not_fit_is_not_waited_for(server: StandIn, clock: Clock) -> None:
    """There must be time left for the answer."""
    assert by_stub(await ask(server, clock, BUSY, within=7)) == "Fireworks answered 429 and asks to wait 7 s"
    assert clock.slept == []


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_a_service_in_trouble_is_asked_once_more(server: StandIn, clock: Clock, status: int) -> None:
    """After a short pause, where the service names none."""
    plan = await ask(server, clock, Reply(status=status, body=b"upstream connect error"), GOOD)

    assert (plan.action, clock.slept) == (SECOND_JOB, [0.5])


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (Reply(status=500, body=b'{"error": "boom"}'), "Fireworks answered 500"),
        (DROP, "Fireworks could not be reached, or its answer not be read"),
        (Reply(body=b"x" * (1024 * 1024 + 1)), "Fireworks could not be reached, or its answer not be read"),
        (
            Reply(body=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"}),
            "Fireworks could not be reached, or its answer not be read",
        ),
        (Reply(body=b"<html>hello</html>"), "Fireworks answered with something that is no completion"),
        (
            Reply(body=b'{"object": "error"}', headers={"content-type": "application/json"}),
            "Fireworks answered with something that is no completion",
        ),
    ],
)
async def test_a_service_that_stays_in_trouble_is_given_up(
    server: StandIn, clock: Clock, trouble: Reply, why: str
) -> None:
    """Two requests at most, then the stub decides."""
    assert by_stub(await ask(server, clock, trouble, trouble)) == why


async def test_trouble_and_a_bad_answer_each_have_their_retry(server: StandIn, clock: Clock) -> None:
    """A retry spent on the service is not one spent on the model."""
    plan = await ask(server, clock, Reply(status=500), NOT_JSON, GOOD)

    assert plan.action == SECOND_JOB
    assert "refused" in data(server, 2)


async def test_trouble_after_a_bad_answer_asks_the_second_question_again(server: StandIn, clock: Clock) -> None:
    """What was wrong with the answer is not forgotten meanwhile."""
    plan = await ask(server, clock, NOT_JSON, Reply(status=500), GOOD)

    assert plan.action == SECOND_JOB
    assert "refused" in data(server, 2)


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b"{}", "Fireworks answered 401; check FIREWORKS_API_KEY"),
        (403, b"{}", "Fireworks answered 403; check FIREWORKS_API_KEY"),
        (404, b"{}", "Fireworks answered 404; check FIREWORKS_MODEL"),
        (400, b'{"error": "bad \x1b[2Jschema"}', 'Fireworks answered 400: {"error": "bad schema"}'),
        (422, b"no " * 1_000, "Fireworks answered 422: " + "no " * 66 + "n…"),
        (307, b"", "Fireworks answered 307: "),
    ],
)
async def test_a_refusal_is_not_asked_again(
    server: StandIn, clock: Clock, status: int, body: bytes, why: str
) -> None:
    """Nothing would change; the reason says what to look at, and no redirect is followed with the key."""
    reply = Reply(status=status, body=body, headers={"location": f"{server.url}/elsewhere"})

    assert by_stub(await ask(server, clock, reply)) == why.strip()


async def test_without_time_nobody_is_asked(server: StandIn, clock: Clock) -> None:
    """A request that cannot be answered in time is not made."""
    assert by_stub(await ask(server, clock, within=0.1)) == "no time was left to ask"
    assert by_stub(await ask(server, clock, within=-1)) == "no time was left to ask"


async def test_time_that_runs_out_between_questions_ends_the_asking(server: StandIn, clock: Clock) -> None:
    """The stub decides within the time; the reason is the first answer's."""

    def late() -> float:
        return 30.0 if server.asked else 0.0

    server.replies.append(NOT_JSON)
    asking = FireworksPlanner(api_key=KEY, model=MODEL, fallback=StubPlanner(), base_url=server.url, clock=late)
    plan = await asking.plan(context(), 30)

    assert by_stub(plan).startswith("the model's answer could not be used: ")
    assert plan.latency_ms == 30_000


@pytest.mark.parametrize(
    ("input_price", "output_price", "cost"),
    [(600_000, 2_500_000, 725), (1, 1, 1), (0, 0, 0), (None, 1, None), (1, None, None)],
)
async def test_cost_is_tokens_at_their_prices_rounded_up(
    server: StandIn, clock: Clock, input_price: int | None, output_price: int | None, cost: int | None
) -> None:
    """Micro-dollars per million tokens; not known where a price is not."""
    server.replies.append(GOOD)
    asking = planner(server, clock, input_price=input_price, output_price=output_price)

    assert (await asking.plan(context(), 30)).cost_usd_micro == cost


async def test_cost_is_not_known_without_tokens(server: StandIn, clock: Clock) -> None:
    """A service that reports no usage leaves it open."""
    choice = {"message": {"content": SECOND_JOB.model_dump_json()}}
    server.replies.append(Reply(body=json.dumps({"choices": [choice]}).encode()))
    plan = await planner(server, clock, input_price=1, output_price=1).plan(context(), 30)

    assert (plan.action, plan.input_tokens, plan.cost_usd_micro) == (SECOND_JOB, None, None)


async def test_the_key_shows_nowhere(server: StandIn, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in plans, nor in `repr`, nor in logs at their most talkative, though the service quotes it."""
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"error": {"message": f"bad request with {KEY}"}}).encode()
    asking = planner(server, clock)
    plans = []
    for status in (400, 401, 404):
        server.replies.append(Reply(status=status, body=echo, headers={"content-type": "application/json"}))
        plans.append(await asking.plan(context(), 30))

    assert "bad request with ***" in str(plans[0].fallback)
    assert "/inference/v1/chat/completions" in caplog.text
    assert KEY not in caplog.text + repr(plans) + repr(asking) + str(vars(asking))
    assert repr(asking) == f"FireworksPlanner(model={MODEL!r})"


@pytest.mark.parametrize("key", ["", " ", f"{KEY}\n", f"Bearer {KEY}", "ключ", f"{KEY}\x00"])
def test_a_key_that_cannot_be_one_is_refused_unseen(key: str) -> None:
    """The HTTP library would quote it in its error; ours names the variable instead."""
    with pytest.raises(ConfigurationError, match="FIREWORKS_API_KEY") as caught:
        FireworksPlanner(api_key=key, model=MODEL, fallback=StubPlanner())
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.fireworks.ai",
        "ftp://api.fireworks.ai",
        "https://",
        "https://[::1",
        "https://a\nb",
        "http://10.0.0.1/",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    """Not found out with the first plan; and the key does not travel in the clear, except on this machine."""
    with pytest.raises(ConfigurationError, match="FIREWORKS_BASE_URL"):
        FireworksPlanner(api_key=KEY, model=MODEL, fallback=StubPlanner(), base_url=url)
