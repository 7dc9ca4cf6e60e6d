"""The page at /docs: whole, made of what we ship, and under the policy of every other answer."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

import httpx
import pytest

from api._markdown import to_html
from tests.api.client import Api, an_api

TOKEN: Final = "token-of-the-operator"
EMPTY: Final = ("meta", "link")
"""Elements without an end."""

LOADING: Final = {"src", "srcset", "href", "action", "formaction", "poster", "data", "background"}
"""Attributes that name what a browser goes to."""


@dataclass
class Page(HTMLParser):
    """What a page is made of; elements that are not closed in order are a failure."""

    html: str
    open: list[str] = field(default_factory=list)
    elements: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            elif name in LOADING:
                (self.links if tag == "a" else self.files).add(value or "")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "pre":
            self.commands.append(data)


async def the_page(api: Api) -> tuple[httpx.Response, Page]:
    answer = await api.http.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return answer, Page(answer.text)


@pytest.mark.parametrize("settings", [{}, {"api_token": TOKEN}])
async def test_the_page_needs_no_exception_from_the_policy(settings: dict[str, object]) -> None:
    """Neither it nor what it loads: the policy is the one of any other answer, and names no other host."""
    api = await an_api("", **settings)
    answer, page = await the_page(api)
    policy = (await api.http.get("/api/nowhere")).headers["content-security-policy"]
    loaded = [await api.http.get(f"/{name}") for name in page.files]

    assert [each.status_code for each in loaded] == [200]
    assert {each.headers["content-security-policy"] for each in (answer, *loaded)} == {policy}
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert "//" not in policy


async def test_the_page_has_no_script_and_refers_to_nothing_elsewhere() -> None:
    """Nor has its style sheet, and no style is written into an element, which the policy would not let through."""
    api = await an_api()
    _, page = await the_page(api)
    style = await api.http.get("/docs.css")

    assert not page.elements & {"script", "style", "iframe", "object", "embed", "form", "img", "svg", "base"}
    assert page.attributes <= {"charset", "content", "href", "id", "lang", "name", "rel"}
    assert page.files == {"docs.css"}
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert not re.search(r"url\(|@import|//", style.text)


async def test_every_link_leads_somewhere() -> None:
    """To one heading each, or to a file that is served."""
    api = await an_api()
    _, page = await the_page(api)

    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert (await api.http.get("/openapi.json")).status_code == 200


async def test_the_page_names_every_route() -> None:
    """In its list too, and each has its command."""
    api = await an_api()
    answer, page = await the_page(api)
    described = (await api.http.get("/openapi.json")).json()["paths"]
    routes = [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]

    for route in routes:
        assert f">{route}</a>" in answer.text, route
        assert f">{route}</h3>" in answer.text, route
    assert len(page.commands) == len(routes)


def parsed(command: str, values: dict[str, str]) -> tuple[str, str, dict[str, str], str | None]:
    """What curl would send, with the shell's variables and what stands for ids replaced."""
    for name, value in values.items():
        command = command.replace(name, value)
    curl, *words = shlex.split(command)
    assert curl == "curl"
    method, headers, body, urls = "GET", {}, None, []
    words.reverse()
    while words:
        match words.pop():
            case "-X":
                method = words.pop()
            case "-H":
                name, _, value = words.pop().partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop()
            case url:
                urls.append(url)
    (url,) = urls
    return method, url, headers, body


@pytest.mark.parametrize("token", [None, TOKEN])
async def test_every_command_of_the_page_can_be_tried(token: str | None) -> None:
    """It meets its route with all that this wants, whatever then becomes of the example."""
    api = await an_api("", api_token=token, cron_secret="secret-of-the-cron")
    _, page = await the_page(api)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    run = (await api.post("/api/agent-start", {"userId": "u1", "goal": "g", "budgetTotal": 5}, **bearer)).json()
    key = (await api.post("/api/keys", {"userId": "u1", "name": "n"}, **bearer)).json()
    ids = {"RUN_ID": run["_id"], "66a1f0c2e4b0a1b2c3d4e5f6": run["_id"], "VENDOR_ID": "gpu_vendor_2"}
    values = {
        "$PURSER_URL": "",
        "$API_TOKEN": TOKEN,
        "$CRON_SECRET": "secret-of-the-cron",
        "KEY_ID": key["_id"],
        **ids,
    }

    refused = set()
    for command in page.commands:
        method, url, headers, body = parsed(command, values)
        answer = await api.http.request(method, url, headers=headers, content=body)
        if answer.is_error:
            refused.add((method, url, answer.json()["code"]))

    assert refused == {
        ("POST", "/api/vendors", "vendor_exists"),
        ("POST", "/api/vendors/gpu_vendor_2/feedback", "no_job_there"),
    }


def test_what_is_written_is_shown_as_it_is() -> None:
    """No text becomes markup, and no bar within a cell a cell."""
    html = to_html(
        "## A <b>\n\n<script>alert(1)</script> & [x](#a-b) [y](keys.md) `[z](#a-b)`\n\n"
        '| field | |\n|---|---|\n| `^(a\\|b)<$` | c |\n\n    curl "<x>"\n'
    )

    assert html.splitlines() == [
        '<h2 id="a-b">A &lt;b&gt;</h2>',
        '<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp; <a href="#a-b">x</a> y <code>[z](#a-b)</code></p>',
        "<table>",
        "<tr><th>field</th><th></th></tr>",
        "<tr><td><code>^(a|b)&lt;$</code></td><td>c</td></tr>",
        "</table>",
        "<pre>curl &quot;&lt;x&gt;&quot;</pre>",
    ]
