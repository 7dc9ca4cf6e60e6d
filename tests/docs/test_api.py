"""docs/api.md is what the code says."""

from __future__ import annotations

from api._problems import ADVICE, CODES
from scripts.build.api_docs import PAGE, page


def test_the_page_is_that_of_the_code() -> None:
    """Made anew with `make api-docs` after each change of a route, a field or a code."""
    assert PAGE.read_text("utf-8") == page(), "make api-docs"


def test_every_code_has_its_advice() -> None:
    """In the same order, so that the table is found in the code as it is on the page."""
    assert list(ADVICE) == list(CODES)
    assert all(ADVICE.values())


def test_every_code_is_of_some_route_or_of_none() -> None:
    """A code that nobody answers with is not to be promised."""
    text = page()
    routes = text.partition("## Errors")[0]

    unused = [code for code in CODES if f"`{code}`" not in routes]
    assert unused == ["not_found", "method_not_allowed"]
