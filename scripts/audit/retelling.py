"""Header, payments and jobs of an export, made anew from its trail alone. Pure; it streams.

What the hashes of the trail bind is thereby bound in the records too, field by field. The trail does not say
whether a vendor has begun with a job that it took; and trails from before purser-audit/2 do not say what was
ordered, nor when and with which words the run ended. That is taken as it is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agent.book.audit import iso
from agent.book.money import parse_usd, usd_json
from scripts.audit.export import FORMAT, JOB_PARAMS, Evidence, Object, line_of

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["Retelling"]

_ENDS: Final = {"run_completed": "completed", "run_failed": "failed", "run_cancelled": "cancelled"}
_PAID: Final = {"settled": "completed", "unresolved": "unresolved", "lapsed": "failed"}
_FREED: Final = ("released", "not_asked")

Story = dict[str, Object]
"""The last event of each name, with the time and the sentence of its observation."""


class Retelling:
    """The trail of one run, looked at entry by entry, then told as the records that go with it."""

    def __init__(self) -> None:
        """Nothing told yet."""
        self._stories: dict[str, Story] = {}
        self._created: dict[str, Object] = {}
        self._run: Story = {}
        self._head: Object = {}
        self._last = ""
        self._senseless = False

    def look(self, entry: Mapping[str, JsonValue]) -> None:
        """Take the next observation."""
        self._last, data = str(entry.get("type")), entry.get("data")
        self._head = {"seq": entry.get("seq"), "hash": entry.get("hash")}
        if not isinstance(data, dict):
            self._senseless = True
            return
        event = str(data.get("event")) if self._last == "payment_event" else self._last
        story = self._stories.setdefault(str(data["jobId"]), {}) if "jobId" in data else self._run
        story[event] = {**data, "at": entry.get("timestamp"), "content": entry.get("content")}
        if "jobId" in data and "createdAt" in data:  # told again where a clock had been wrong
            self._created[str(data["jobId"])] = {"createdAt": data["createdAt"]}

    def differences(self, found: Evidence) -> Iterator[str]:
        """Where the records are others than those that the trail tells, each naming record and field."""
        try:
            if self._senseless:
                raise ValueError("data that is no object")
            run_id, goal = str(found.header["runId"]), self._run["run_started"]["goal"]
            stories, untold = sorted(self._stories.items()), {str(job["_id"]): job for job in found.jobs}
            payments = [_payment(run_id, key, story) for key, story in stories if "authorized" in story]
            drafts = {key: {**untold.get(key, {}), **self._created.get(key, {})} for key in self._stories}
            jobs = [_job(run_id, key, story, goal, drafts[key]) for key, story in stories]
            header = self._header(found.header, len(payments), len(jobs))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
            yield "what the trail tells of the run, its payments and its jobs makes no sense"
            return
        yield from _unlike("the header", found.header, header)
        yield from _records("payment", found.payments, payments)
        yield from _records("job", found.jobs, jobs)

    def _header(self, found: Object, payments: int, jobs: int) -> Object:
        started, end = self._run["run_started"], self._run.get(self._last, {})
        status = _ENDS.get(self._last, "running")
        total, spent, reserved = _micro(started["budgetTotalUsd"]), 0, 0
        reservations: Object = {}
        for key, story in sorted(self._stories.items()):
            spent += _spent(story) or 0
            if _spent(story) is None:
                reservations[key] = _reservation(story)
                reserved += _micro(story["reserved"]["amountUsd"])
        run = found["run"] if isinstance(found["run"], dict) else {}
        return {
            "format": FORMAT,
            "runId": found["runId"],
            "head": self._head,
            "payments": payments,
            "jobs": jobs,
            "run": {
                "status": status,
                "goal": started["goal"],
                "budgetTotal": usd_json(total),
                "budgetRemaining": usd_json(total - spent - reserved),
                "budgetReserved": usd_json(reserved),
                "budgetSpent": usd_json(spent),
                "failure": self._failure(run) if status in ("failed", "cancelled") else None,
                "createdAt": started["at"],
                "completedAt": None if status == "running" else end.get("completedAt", run.get("completedAt")),
                "reservations": reservations,
            },
        }

    def _failure(self, run: Object) -> Object:
        end, found = self._run[self._last], run.get("failure")
        message = found.get("message") if isinstance(found, dict) else None
        return {"code": end["code"], "message": end.get("message", message)}


def _reservation(story: Story) -> Object:
    reserved, signed = story["reserved"], story.get("authorized")
    return {
        "vendorId": reserved["vendorId"],
        "amount": _usd(reserved["amountUsd"]),
        "authorized": signed is not None,
        "validBefore": None if signed is None else _moment(signed["validBefore"]),
    }


def _payment(run_id: str, job_id: str, story: Story) -> Object:
    signed = story["authorized"]
    return {
        "_id": job_id,
        "runId": run_id,
        "jobId": job_id,
        "vendorId": signed["vendorId"],
        "amount": _usd(signed["amountUsd"]),
        "currency": signed["currency"],
        "status": _status(story),
        "x402TxId": story.get("settled", {}).get("transaction"),
        "network": signed["network"],
        "asset": signed["asset"],
        "payer": signed["payer"],
        "payTo": signed["payTo"],
        "nonce": signed["nonce"],
        "validBefore": _moment(signed["validBefore"]),
        "createdAt": signed["at"],
    }


def _job(run_id: str, job_id: str, story: Story, goal: JsonValue, found: Object) -> Object:
    failed, drawn = story.get("job_failed"), story.get("reserved") or story["job_failed"]
    over, spent = story.get("job_completed") or failed, _spent(story)
    params = drawn.get("jobParams", found.get("jobParams"))
    cost = _usd(drawn["expectedCostUsd"]) if "expectedCostUsd" in drawn else found.get("expectedCost")
    if not isinstance(params, dict):
        raise TypeError("no jobParams")
    return {
        "_id": job_id,
        "runId": run_id,
        "vendorId": drawn["vendorId"],
        "vendorJobId": story.get("job_submitted", {}).get("vendorJobId"),
        "status": _job_status(story, found),
        "expectedCost": cost,
        "actualCost": None if spent is None else usd_json(spent),
        "jobParams": {name: goal if name == "goal" else params[name] for name in JOB_PARAMS},
        "failure": None if failed is None else {"code": failed["code"], "message": _why(failed)},
        "createdAt": found.get("createdAt"),
        "completedAt": None if over is None else over["at"],
    }


def _why(failed: Object) -> str:
    return str(failed["content"]).removeprefix(f"Job at {failed['vendorId']} failed: ")


def _job_status(story: Story, found: Object) -> JsonValue:
    if "job_completed" in story or "job_failed" in story:
        return "completed" if "job_completed" in story else "failed"
    if "job_submitted" in story:  # whether the vendor has begun is not told
        return "running" if found.get("status") == "running" else "submitted"
    return "pending"


def _status(story: Story) -> str:
    return next((status for event, status in _PAID.items() if event in story), "pending")


def _spent(story: Story) -> int | None:
    """What was spent on a job, in micro-dollars; None: its money is still open."""
    if "settled" in story or "unresolved" in story:
        return _micro(story["authorized"]["amountUsd"])
    free = "reserved" not in story or "lapsed" in story or any(event in story for event in _FREED)
    return 0 if free else None


def _micro(said: JsonValue) -> int:
    return parse_usd(str(said), zero=True)


def _usd(said: JsonValue) -> int | float:
    return usd_json(_micro(said))


def _moment(seconds: JsonValue) -> str:
    if type(seconds) is not int:
        raise TypeError("no time")
    return iso(datetime.fromtimestamp(seconds, UTC))


def _records(kind: str, found: tuple[Object, ...], told: list[Object]) -> Iterator[str]:
    ids, known = [each.get("_id") for each in found], [each["_id"] for each in told]
    if ids != known:
        yield f"the {kind}s are {_list(ids)}, the trail tells of {_list(known)}"
        return
    for one, other in zip(found, told, strict=True):
        yield from _unlike(f"{kind} {other['_id']}", one, other)


def _unlike(name: str, found: Object, told: Object) -> Iterator[str]:
    """The fields of a record that are not as they are told, or that there should not be."""
    if line_of(found) == line_of(told):
        return
    differing = [key for key in {**told, **found} if line_of(found.get(key)) != line_of(told.get(key))]
    for key in differing:
        one, other = found.get(key), told.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _unlike(f"{name}: {key}", one, other)
        else:
            yield f"{name}: {key} is {line_of(one)}, the trail tells {line_of(other)}"
    if not differing:
        yield f"{name}: its fields are not those of {FORMAT}, in their order"


def _list(ids: list[JsonValue]) -> str:
    return ", ".join(map(str, ids)) or "none"
