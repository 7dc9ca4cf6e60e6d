"""A connection to Purser's API, and its calls for runs; those for vendors and keys are beside it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Generic, NoReturn, Self, TypeVar

import httpx
from pydantic import JsonValue

from agent.book.errors import ConfigurationError
from net.addresses import is_loopback
from net.retry_after import seconds_to_wait
from scripts.client.errors import Busy, ClientError, NotFound, Refused, TooMany, Unreachable
from scripts.client.shapes import (
    Chain,
    Health,
    Parked,
    Problem,
    Records,
    Run,
    Runs,
    Shape,
    Status,
    Ticked,
    read_exactly,
    read_plainly,
)

__all__ = ["PAGE", "Client", "Reply"]

ANSWER_SECONDS: Final = 30.0
"""How long an answer may take."""

TICK_SECONDS: Final = 300.0
"""How long a tick may take: more than the longest TICK_DEADLINE_SECONDS."""

CONNECT_SECONDS: Final = 5.0

MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes that an answer may have: several times the largest page of observations."""

PAGE: Final = 500
"""Observations in one answer: the API's limit."""

EMPTY_PAGES: Final = 10
"""Pages in a row without an observation after which a trail is not followed further."""

RUNS_PAGE: Final = 100
"""Runs in one answer: the API's limit."""

LOOKS: Final = 5
"""Times that a run which keeps changing is looked at again."""

_SKEW_SEEN: Final = timedelta(seconds=2)
"""Differences of clocks below this are not believed: the Date header has whole seconds."""

Asked = TypeVar("Asked", bound=Shape)


_KINDS: Final[dict[str, type[Refused]]] = {
    "run_busy": Busy,
    "run_not_found": NotFound,
    "vendor_not_found": NotFound,
    "key_not_found": NotFound,
    "rate_limited": TooMany,
}


@dataclass(frozen=True, slots=True)
class Reply(Generic[Asked]):
    """An answer: read, and as the server sent it."""

    value: Asked
    text: str


class Client:
    """A connection to one Purser server. To be used in a `with` block."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """No network yet.

        Raises:
            ConfigurationError: the address is none, or the token would travel readable to another machine.
        """
        self.url = url.rstrip("/")
        local, encrypted = _look_at(self.url)
        if token is not None and not encrypted and not local:
            raise ConfigurationError("PURSER_URL is http:// to another machine: API_TOKEN is only sent over https")
        self._skew = timedelta()
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token is not None else {},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # A proxy of the user's is for other machines. Without TLS there is no need to load trusted roots.
            trust_env=not local,
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def now(self) -> datetime:
        """The server's time, as far as its answers tell: `nextTickAt` is to be held against this."""
        return datetime.now(UTC) + self._skew

    def health(self) -> str:
        """The store that the server works on: `embedded` or `mongodb`."""
        answer = self.ask("GET", "/api/health")
        try:
            return read_exactly(Health, answer).store
        except ValueError:
            self._strange()

    def start(self, order: Mapping[str, JsonValue], idempotency_key: str | None = None) -> Reply[Run]:
        """Start a run. `order` is the body of POST /api/agent-start."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self.read(Run, self.ask("POST", "/api/agent-start", body=order, headers=headers))

    def tick(self, run_id: str) -> Reply[Ticked]:
        """Advance a run by one step."""
        answer = self.ask("POST", "/api/agent-tick", body={"runId": run_id}, seconds=TICK_SECONDS)
        return self.read(Ticked, answer)

    def cancel(self, run_id: str) -> Reply[Ticked]:
        """Stop a run."""
        answer = self.ask("POST", "/api/agent-cancel", body={"runId": run_id}, seconds=TICK_SECONDS)
        return self.read(Ticked, answer)

    def status(self, run_id: str, *, limit: int = 100, after: int | None = None) -> Reply[Status]:
        """The run with its jobs and payments, and a page of its trail: the newest, or those after a number."""
        return self.read(Status, self._status(run_id, limit, after))

    def runs(self, user_id: str | None, status: str | None, limit: int, cursor: str | None) -> Reply[Runs]:
        """A page of runs, newest first."""
        asked = {"userId": user_id, "status": status, "limit": limit, "cursor": cursor}
        return self.read(Runs, self.ask("GET", "/api/runs", params=_given(asked)))

    def parked(self, user_id: str | None, limit: int) -> Reply[Parked]:
        """Runs whose ticks keep failing, those that failed most often first."""
        asked = _given({"userId": user_id, "limit": limit})
        return self.read(Parked, self.ask("GET", "/api/parked-runs", params=asked))

    def snapshot(self, run_id: str) -> Reply[Records]:
        """The run with the jobs and payments that were its own at one moment.

        A server reads jobs and payments after the run. While a run goes on it is looked at until it stands still.

        Raises:
            Busy: it never did.
        """
        seen = self._records(run_id)
        for _ in range(LOOKS):
            if seen.value.run.status != "running":
                return seen
            again = self._records(run_id)
            if again.value.run == seen.value.run:
                return seen
            seen = again
        detail = f"run {run_id} changed whenever it was looked at; try again"
        raise Busy(409, "run_busy", detail, text=json.dumps({"code": "run_busy", "detail": detail}))

    def trail(self, run_id: str, last: int) -> Iterator[dict[str, JsonValue]]:
        """The run's trail from its first observation to the one numbered `last`, plainly as sent, page by page."""
        after, empty = 0, 0
        while after < last and empty < EMPTY_PAGES:
            chain = self._chain(run_id, after, min(PAGE, last - after))
            yield from chain.observations
            reached = chain.page.last_seq
            if reached is not None and reached <= after:
                return  # a server that pages in circles
            empty = empty + 1 if reached is None else 0
            after = after + PAGE if reached is None else reached

    def every_run(self) -> Iterator[tuple[str, Run | None]]:
        """All runs by their ids, page by page; None is one that the server cannot read."""
        cursor: str | None = None
        while True:
            page = self.runs(None, None, RUNS_PAGE, cursor).value
            yield from ((run.id, run) for run in page.runs)
            yield from ((run_id, None) for run_id in page.unreadable)
            if page.next_cursor is None or page.next_cursor == cursor:
                return
            cursor = page.next_cursor

    def _status(self, run_id: str, limit: int, after: int | None) -> str:
        params = _given({"runId": run_id, "limit": limit, "after": after})
        return self.ask("GET", "/api/agent-status", params=params)

    def _records(self, run_id: str) -> Reply[Records]:
        return self.read(Records, self._status(run_id, 1, None))

    def _chain(self, run_id: str, after: int, limit: int) -> Chain:
        try:
            return read_plainly(Chain, self._status(run_id, limit, after))
        except ValueError:
            self._strange()

    def read(self, shape: type[Asked], text: str) -> Reply[Asked]:
        """An answer as this shape."""
        try:
            return Reply(read_exactly(shape, text), text)
        except ValueError:
            self._strange()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> str:
        """One exchange; the text of a 2xx answer."""
        timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            with self._http.stream(
                method, path, params=params, json=body, headers=headers, timeout=timeout
            ) as response:
                content = self._bounded(response)
        except httpx.ConnectError as exc:
            raise Unreachable(f"no server answers at {self.url}: start one (make dev) or set PURSER_URL") from exc
        except httpx.TimeoutException as exc:
            raise Unreachable(
                f"{self.url} did not answer in time; it may have done what was asked: look with purser runs"
            ) from exc
        except httpx.HTTPError as exc:
            raise Unreachable(f"the connection to {self.url} broke ({type(exc).__name__}); try again") from exc
        self._note_time(response)
        if response.is_success:
            return content
        raise self._refused(response, content)

    def _bounded(self, response: httpx.Response) -> str:
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER:
                self._strange()
        return content.decode("utf-8", errors="replace")

    def _note_time(self, response: httpx.Response) -> None:
        try:
            skew = parsedate_to_datetime(response.headers["date"]) - datetime.now(UTC)
        except (KeyError, ValueError, TypeError):
            return
        self._skew = skew if abs(skew) > _SKEW_SEEN else timedelta()

    def _refused(self, response: httpx.Response, text: str) -> ClientError:
        try:
            problem = read_exactly(Problem, text)
        except ValueError:
            return Unreachable(
                f"what answers at {self.url} is no Purser server: status {response.status_code} without a problem"
            )
        fields = [(each.field, each.message) for each in problem.errors or ()]
        kind = _KINDS.get(problem.code, Refused)
        after = int(seconds_to_wait(response.headers.get("retry-after")) or 1)
        return kind(response.status_code, problem.code, problem.detail, fields, text, after, problem.request_id)

    def _strange(self) -> NoReturn:
        raise Unreachable(
            f"what answers at {self.url} is no Purser server that this command knows: check PURSER_URL"
        )


def _look_at(url: str) -> tuple[bool, bool]:
    """Whether the address is this machine, and whether what goes there is encrypted."""
    try:
        parts = httpx.URL(url)
        parts.host.encode("idna")  # what httpx lets through and the socket then chokes on
    except (httpx.InvalidURL, UnicodeError):
        parts = httpx.URL()
    port_fits = parts.port is None or 0 < parts.port < 2**16
    if parts.scheme not in ("http", "https") or not parts.host or parts.userinfo or not port_fits:
        raise ConfigurationError(
            "PURSER_URL is not an address: set it to http(s)://host, without user or password"
        )
    return is_loopback(parts.host), parts.scheme == "https"


def _given(params: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in params.items() if value is not None}
