"""A list of hosts means hosts, however they are spelt."""

from __future__ import annotations

import pytest

from net.hosts import among, canonical, place

SAME = [
    ("https://example.com/a", "https://EXAMPLE.com:443/a"),
    ("https://example.com/a", "https://example.com./a/"),
    ("https://example.com/a b", "https://example.com/a%20b"),
    ("https://example.com/%C3%A9", "https://example.com/é"),
    ("https://bücher.example", "https://xn--bcher-kva.example"),
    ("http://[::1]:80/", "http://[0:0:0:0:0:0:0:1]/"),
]
OTHER = [
    ("https://example.com/a", "https://example.com/A"),
    ("https://example.com/a", "https://example.com:8443/a"),
    ("https://example.com/a/b", "https://example.com/a%2Fb"),
    ("https://example.com", "https://example.org"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_one_place_has_many_spellings(one: str, two: str) -> None:
    """Case, the dot of the root, a default port, percent signs, international names, forms of an address."""
    assert place(one) == place(two) is not None


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_other_places_stay_apart(one: str, two: str) -> None:
    """An encoded slash is no separator, and paths have a case."""
    assert place(one) != place(two)


@pytest.mark.parametrize(
    "url", ["", "/a", "https://", "https://a:x/", "https://[::1", "https://a/b/../c", "https://a/%2e%2e/c"]
)
def test_what_is_no_place_is_none(url: str) -> None:
    """Least of all a path that climbs out of the one that was called."""
    assert place(url) is None


@pytest.mark.parametrize(
    ("url", "entry", "there"),
    [
        ("https://example.com/x", "example.com", True),
        ("https://example.com./x", "example.com", True),
        ("https://example.com/x", "Example.COM:443", True),
        ("https://example.com:8443/x", "example.com", True),
        ("https://example.com:8443/x", "example.com:443", False),
        ("https://bücher.example/", "xn--bcher-kva.example", True),
        ("https://sub.example.com/", "example.com", False),
        ("https://example.com.evil.example/", "example.com", False),
        ("not a url", "example.com", False),
    ],
)
def test_a_list_of_hosts_means_hosts(url: str, entry: str, there: bool) -> None:
    """With a port only that one, without any."""
    assert among(url, frozenset({entry})) is there


def test_what_is_no_international_name_stays_as_it_is() -> None:
    """And raises nothing."""
    assert canonical("x" * 70 + ".example") == "x" * 70 + ".example"
