"""The program as a process, spoken to over real sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.gpu_vendor_mock.support import Buyer, Vendor, decoded, text

_ROOT = Path(__file__).resolve().parents[2]
_LINE = re.compile(r"mock vendors at (http://127\.0\.0\.1:\d+) \(gpu_vendor_1, gpu_vendor_2\)\n")
_PROGRAM = [sys.executable, "-m", "gpu_vendor_mock"]

Start = Callable[..., subprocess.Popen[str]]


def _environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **variables}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program on a free port with the given variables, and ends it after the test."""
    processes: list[subprocess.Popen[str]] = []

    def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*_PROGRAM, "--port", "0", *arguments],
            cwd=tmp_path,  # no .env here
            env=_environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.fixture
async def real_vendor(start: Start) -> AsyncIterator[Callable[..., Vendor]]:
    """A vendor in a process of its own."""
    clients: list[httpx.AsyncClient] = []

    def opened(**variables: str) -> Vendor:
        clients.append(httpx.AsyncClient(base_url=_address(start(**variables)), timeout=10, trust_env=False))
        return Vendor(clients[-1])

    yield opened
    for http in clients:
        await http.aclose()


def _address(process: subprocess.Popen[str]) -> str:
    """Where the process says it listens."""
    assert process.stdout is not None
    match = _LINE.fullmatch(process.stdout.readline())
    assert match is not None
    return match[1]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_program_says_where_it_listens_serves_and_stops(start: Start, stop: signal.Signals) -> None:
    """One line on stdout, as soon as connections are taken; nothing else is said, and a signal ends it."""
    process = start()
    address = _address(process)
    assert httpx.get(f"{address}/health", trust_env=False).status_code == 200
    process.send_signal(stop)
    rest, errors = process.communicate(timeout=10)
    assert (rest, errors) == ("", "")
    assert process.returncode in (0, -stop)


async def test_a_job_is_bought_over_a_real_connection(real_vendor: Callable[..., Vendor], buyer: Buyer) -> None:
    """Quote, 402, payment, receipt, status; with a secret of one's own."""
    vendor = real_vendor(GPU_VENDOR_SECRET="a-secret-of-mine", EPOCH_SECONDS="0")
    assert (await vendor.quote()).status_code == 401
    vendor.secret = "a-secret-of-mine"
    vendor.headers()
    template = await vendor.template()
    unpaid = await vendor.submit(template, "k")
    bought = await vendor.submit(template, "k", buyer.pay(unpaid, validBefore=_FAR))
    assert bought.status_code == 200
    status = await vendor.status(text(bought.json(), "vendorJobId"))
    assert text(status.json(), "status") == "completed"


_FAR = 4_000_000_000
"""An authorization for the real clock of the process."""


@pytest.mark.parametrize(("fault", "settled"), [("drop_before_payment", 0), ("drop_after_payment", 1)])
async def test_a_dropped_connection_closes_without_an_answer(
    real_vendor: Callable[..., Vendor], buyer: Buyer, fault: str, settled: int
) -> None:
    """The client sees the connection end before a single byte; the server goes on, and knows what it did."""
    vendor = real_vendor(FAULTS=f"{fault}*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), validBefore=_FAR)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await vendor.submit(template, "k", payment)
    assert len(await vendor.journal("settlements")) == settled
    recovered = await vendor.submit(template, "k", payment)
    assert recovered.status_code == 200
    (only,) = await vendor.journal("settlements")
    assert text(decoded(recovered.headers["payment-response"]), "transaction") == text(only, "transaction")
    assert len(await vendor.journal("jobs")) == 1


async def test_a_dropped_connection_is_closed_to_the_last_byte(start: Start, buyer: Buyer) -> None:
    """Seen from the bare socket: not one byte comes back, and nothing is complained of on stderr."""
    process = start(FAULTS="drop_after_payment")
    address = _address(process)
    async with httpx.AsyncClient(base_url=address, trust_env=False) as http:
        vendor = Vendor(http)
        template = await vendor.template()
        payment = buyer.pay(await vendor.submit(template, "k"), validBefore=_FAR)
        headers = vendor.headers({"idempotency-key": "k", **payment})
        body = {"vendorJobTemplateId": template, "jobParams": vendor.params}
        request = http.build_request("POST", "/submit-job", json=body, headers=headers)
        raw = b"POST /submit-job HTTP/1.1\r\n" + b"".join(
            name + b": " + value + b"\r\n" for name, value in request.headers.raw
        )
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(raw + b"\r\n" + request.content)
            try:
                answered = connection.recv(1)
            except ConnectionResetError:
                answered = b""
        assert answered == b""
        assert len(await vendor.journal("settlements")) == 1
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[1] == ""


async def test_a_client_that_gives_up_on_a_slow_vendor_has_paid(
    real_vendor: Callable[..., Vendor], buyer: Buyer
) -> None:
    """The payment was sent; that nobody waits for the answer does not bring it back."""
    vendor = real_vendor()
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"), validBefore=_FAR)
    vendor.http.timeout = httpx.Timeout(0.05)
    with pytest.raises(httpx.ReadTimeout):
        await vendor.submit(template, "k", payment, fault="slow=300")
    vendor.http.timeout = httpx.Timeout(10)
    # The slow request is let in first and holds nothing, so this one may be served before or after it.
    assert (await vendor.submit(template, "k", payment, fault="slow=600")).status_code == 200
    assert len(await vendor.journal("settlements")) == 1
    assert len(await vendor.journal("payments")) == 2


def _fails(*arguments: str, **variables: str) -> str:
    """What the program says when it does not start."""
    process = subprocess.run(
        [*_PROGRAM, *arguments], env=_environment(**variables), capture_output=True, text=True, timeout=30
    )
    assert process.returncode == 2
    assert process.stdout == ""
    return process.stderr


def test_a_bad_setting_stops_the_program_with_its_name() -> None:
    """Exit code 2, the variable and the reason, no traceback."""
    said = _fails(EPOCHS="none", FAULTS="explode")
    assert "EPOCHS: " in said
    assert "FAULTS: " in said
    assert "Traceback" not in said


def test_a_taken_port_is_said_to_be_taken() -> None:
    """Exit code 2 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in _fails("--port", str(port))


@pytest.mark.parametrize("host", ["0.0.0.0", "vendors.example"])
def test_the_well_known_secret_is_for_loopback_only(host: str) -> None:
    """Whoever can reach the vendors could use it."""
    assert "set GPU_VENDOR_SECRET" in _fails("--host", host, "--port", "0")
