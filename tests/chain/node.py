"""A door before the chain's node: calls can be dropped on the way in, or their answers on the way out."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from net.strict_json import Json, parse_object
from tests.x402.server import Reply, Seen, serving


@dataclass
class Node:
    """`url` is the door.

    `down` drops every call, `deaf` those of a method before they reach it, `mute` its answers after they were
    carried out; `before` runs when a call comes in. `calls` counts what reached the node, `dropped` has the rest.
    """

    url: str = ""
    down: bool = False
    deaf: set[str] = field(default_factory=set)
    mute: set[str] = field(default_factory=set)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    dropped: list[tuple[str, Json]] = field(default_factory=list)


@asynccontextmanager
async def node_before(url: str) -> AsyncIterator[Node]:
    """A door before the node at `url`, until the block ends."""
    node = Node()
    async with httpx.AsyncClient(trust_env=False) as http:

        async def pass_on(seen: Seen) -> Reply:
            call = parse_object(seen.body)
            method = str(call["method"])
            if node.down or method in node.deaf:
                node.dropped.append((method, call["params"]))
                return Reply(body=None)
            if (act := node.before.pop(method, None)) is not None:
                act()
            answer = await http.post(url, content=seen.body, headers={"Content-Type": "application/json"})
            node.calls[method] += 1
            if method in node.mute:
                return Reply(body=None)
            return Reply(answer.status_code, {"Content-Type": "application/json"}, answer.content)

        async with serving(pass_on) as door:
            node.url = door
            yield node
