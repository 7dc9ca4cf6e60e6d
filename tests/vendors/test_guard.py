"""Where the real client connects to, over real sockets, with a resolver that means it harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from net.guard import GuardedTransport
from tests.net.internet import Internet
from tests.vendors.samples import QUOTE, TOKEN, a_vendor
from tests.vendors.server import ScriptedVendor, reply
from tests.vendors.wallet import Wallet, challenge
from vendors.client import VendorClient, make_http_client
from vendors.errors import ContractBroken, OutcomeUnknown, VendorUnavailable
from vendors.models import Vendor
from x402.client import PaymentAuth

PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
LONG = 5.0

Ask = Callable[[Vendor], Awaitable[object]]


@pytest.fixture
async def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(asyncio.get_running_loop(), monkeypatch)


@pytest.fixture
async def strict() -> AsyncIterator[VendorClient]:
    """A client that calls nobody on this machine."""
    async with make_http_client(loopback=False) as http:
        yield VendorClient(http, lambda ref: TOKEN)


@pytest.fixture
def server_at_public(internet: Internet, server: ScriptedVendor) -> ScriptedVendor:
    """A vendor on the public address. It speaks no TLS, so what comes there is a ClientHello."""
    internet.places[PUBLIC] = server.port
    return server


async def quote(client: VendorClient, endpoint: str, within: float = LONG) -> object:
    vendor = a_vendor(endpoint)
    return await client.quote(vendor, job_type="fine_tune", gpu_type="A100", max_hours=1, within=within)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", "link-local"),
        ("100.100.100.200", "shared"),
        ("fd00:ec2::254", "private"),
        ("10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "in disguise"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("fe80::1%lo", "link-local"),
        ("127.0.0.1", "LOOPBACK_VENDORS=allow"),
        ("::1", "LOOPBACK_VENDORS=allow"),
    ],
)
async def test_a_name_that_leads_inside_is_not_called(
    strict: VendorClient, internet: Internet, address: str, why: str
) -> None:
    """No connection is even tried, and the error says which rule it was."""
    internet.names["gpu.example"] = [[address]]
    with pytest.raises(VendorUnavailable, match=f"gpu.example leads to .*, which is .*{why}") as caught:
        await quote(strict, "https://gpu.example")
    assert "nothing was bought" in str(caught.value)
    assert internet.connected == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    strict: VendorClient, internet: Internet, server: ScriptedVendor
) -> None:
    """A resolver that answers once with a public address and then with ours is asked once per connection."""
    internet.names["gpu.example"] = [[PUBLIC], ["127.0.0.1"]]
    with pytest.raises(VendorUnavailable, match="could not be reached"):
        await quote(strict, f"https://gpu.example:{server.port}")
    tries = len(internet.looked_up)
    assert internet.connected == [(PUBLIC, server.port)]
    assert tries == 3, "each try is a connection of its own, and is checked anew"
    assert not server.asked.is_set()


async def test_every_connection_is_checked_anew(internet: Internet, server: ScriptedVendor) -> None:
    """A name that moved inside between the order and the payment gets the order and not the payment."""
    internet.names["gpu.localhost"] = [["127.0.0.1"], ["10.0.0.1"]]
    server.answers(challenge())
    wallet = Wallet()
    async with make_http_client(loopback=True) as http:
        client = VendorClient(http, lambda ref: TOKEN)
        with pytest.raises(OutcomeUnknown, match="another machine"):
            await client.submit(
                a_vendor(f"http://gpu.localhost:{server.port}"),
                idempotency_key="k",
                template_id="tpl_1",
                job_params={},
                auth=PaymentAuth(wallet.authorize, plain_http=True),
                within=LONG,
            )
    assert len(wallet.signed) == len(server.seen) == 1
    assert "payment-signature" not in server.seen[0].headers
    assert internet.connected == [("127.0.0.1", server.port)]


async def test_nothing_is_signed_for_a_vendor_that_cannot_be_called(
    strict: VendorClient, internet: Internet
) -> None:
    """Refused before the order has left, so nobody asked for money and nobody pays."""
    internet.names["gpu.example"] = [["192.168.1.1"]]
    wallet = Wallet()
    auth = PaymentAuth(wallet.authorize)
    with pytest.raises(VendorUnavailable, match=r"192\.168\.1\.1, which is private"):
        await strict.submit(
            a_vendor("https://gpu.example"),
            idempotency_key="k",
            template_id="tpl_1",
            job_params={},
            auth=auth,
            within=LONG,
        )
    assert (wallet.asked, auth.paid, internet.connected) == ([], False, [])


@pytest.mark.parametrize("answer", [[PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, OTHER, "::1"]])
async def test_a_name_with_one_address_inside_is_not_called_at_the_others(
    strict: VendorClient, internet: Internet, server_at_public: ScriptedVendor, answer: list[str]
) -> None:
    """Which of them is used must not be left to the order of an answer."""
    internet.names["gpu.example"] = [answer]
    with pytest.raises(VendorUnavailable, match=r"gpu\.example leads to (10\.0\.0\.1|::1), which"):
        await quote(strict, "https://gpu.example")
    assert internet.connected == []


async def test_addresses_are_tried_in_turn(internet: Internet, server: ScriptedVendor) -> None:
    """One refuses, two are silent for their share of the time, the last one answers."""
    internet.names["localhost"] = [["::1", "127.0.0.8", "127.0.0.9", "127.0.0.1"]]
    internet.silent |= {"127.0.0.8", "127.0.0.9"}
    server.answers(reply(200, QUOTE))
    async with make_http_client(loopback=True) as http:
        await quote(VendorClient(http, lambda ref: TOKEN), f"http://localhost:{server.port}", within=1)
    assert [host for host, _ in internet.connected] == ["::1", "127.0.0.8", "127.0.0.9", "127.0.0.1"]
    assert server.seen[0].headers["host"] == f"localhost:{server.port}"


async def test_a_name_of_many_addresses_is_not_tried_at_all_of_them(
    strict: VendorClient, internet: Internet
) -> None:
    """A vendor's name server must not choose how many strangers we call upon."""
    internet.names["gpu.example"] = [[f"93.184.216.{last}" for last in range(256)]]
    with pytest.raises(VendorUnavailable):
        await quote(strict, "https://gpu.example")
    assert len(set(internet.connected)) == 4


async def test_the_servers_name_in_tls_is_the_vendors(strict: VendorClient, internet: Internet) -> None:
    """The certificate is checked against the name, although an address is connected to."""
    hello = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not hello.done():
            hello.set_result(await reader.read(4_096))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as listener:
        internet.names["gpu.example"] = [[PUBLIC]]
        internet.places[PUBLIC] = listener.sockets[0].getsockname()[1]
        with pytest.raises(VendorUnavailable):
            await quote(strict, "https://gpu.example")
        assert b"gpu.example" in await hello
        assert set(internet.connected) == {(PUBLIC, 443)}


async def test_a_resolver_that_is_silent_costs_the_time_of_a_call(
    strict: VendorClient, internet: Internet
) -> None:
    """And no more."""
    internet.silent.add("gpu.example")
    async with asyncio.timeout(LONG):
        with pytest.raises(VendorUnavailable, match="could not be reached for /quote"):
            await quote(strict, "https://gpu.example", within=0.5)


async def test_a_redirect_inside_is_not_followed(client: VendorClient, server: ScriptedVendor) -> None:
    """No redirect is."""
    server.answers(reply(307, headers={"Location": "http://169.254.169.254/latest/meta-data/"}))
    with pytest.raises(ContractBroken, match="redirects, which is not followed"):
        await quote(client, server.url)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("http://[fd00:ec2::254]/latest/meta-data/", "private"),
        ("http://[::ffff:169.254.169.254]/", "in disguise"),
        ("http://metadata.example/", "link-local"),
        ("http://2130706433/", "neither a name nor an address"),
        ("http://0x7f000001/", "neither a name nor an address"),
        ("http://0177.0.0.1/", "Invalid IPv4 address"),  # httpx sees this one itself
        ("http://127.1/", "neither a name nor an address"),
    ],
)
async def test_whoever_would_follow_a_redirect_is_checked_too(
    internet: Internet, server: ScriptedVendor, target: str, why: str
) -> None:
    """The check is where connections are made, not where calls are: a later mistake above it opens nothing."""
    internet.names["metadata.example"] = [["169.254.169.254"]]
    server.answers(reply(302, headers={"Location": target}))
    async with make_http_client(loopback=True) as http:
        with pytest.raises(httpx.HTTPError, match=why):
            await http.get(server.url, follow_redirects=True)
    assert internet.connected == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"])
async def test_a_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, internet: Internet, server: ScriptedVendor, name: str
) -> None:
    """It would resolve names itself, where nothing is checked."""
    async with ScriptedVendor() as proxy:
        proxy.answers(reply(200, QUOTE))
        server.answers(reply(200, QUOTE))
        monkeypatch.setenv(name, proxy.url)
        internet.names["gpu.example"] = [["10.0.0.1"]]
        async with make_http_client(loopback=True) as http:
            client = VendorClient(http, lambda ref: TOKEN)
            with pytest.raises(VendorUnavailable, match=r"10\.0\.0\.1, which is private"):
                await quote(client, "https://gpu.example")
            await quote(client, server.url)
        assert (len(proxy.seen), len(server.seen)) == (0, 1)


async def test_the_transport_itself_needs_no_client(internet: Internet) -> None:
    """httpx keeps its pool where the guard expects it: were it elsewhere, this would connect."""
    async with GuardedTransport(loopback=False) as transport:
        with pytest.raises(httpx.ConnectError, match="LOOPBACK_VENDORS=allow"):
            await transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:9/"))
    assert internet.connected == []
