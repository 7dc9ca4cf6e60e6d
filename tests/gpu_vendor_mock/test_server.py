"""The vendors over real sockets: closed connections, impatient clients, and the program as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gpu_vendor_mock.__main__ import main
from gpu_vendor_mock.server import listen
from tests.gpu_vendor_mock.conftest import Serve
from tests.gpu_vendor_mock.support import Buyer, Vendor, decoded, text

_ROOT = Path(__file__).resolve().parents[2]
_LINE = re.compile(r"mock vendors at (http://127\.0\.0\.1:\d+) \(gpu_vendor_1, gpu_vendor_2\)\n")

Start = Callable[..., subprocess.Popen[str]]


@pytest.mark.parametrize(("fault", "settled"), [("drop_before_payment", 0), ("drop_after_payment", 1)])
async def test_a_dropped_connection_closes_without_an_answer(
    serve: Serve, buyer: Buyer, fault: str, settled: int
) -> None:
    """The client sees the connection end before a single byte; the server goes on, and knows what it did."""
    vendor = serve(faults=f"{fault}*1")
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await vendor.submit(template, "k", payment)
    assert len(await vendor.journal("settlements")) == settled
    recovered = await vendor.submit(template, "k", payment)
    assert recovered.status_code == 200
    (only,) = await vendor.journal("settlements")
    assert text(decoded(recovered.headers["payment-response"]), "transaction") == text(only, "transaction")
    assert len(await vendor.journal("jobs")) == 1


def test_answers_are_sent_at_once() -> None:
    """Not held back until the client acknowledges the part before: 40 ms on every kept connection."""
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_not_one_byte_comes_back_on_a_dropped_connection(
    serve: Serve, buyer: Buyer, caplog: pytest.LogCaptureFixture
) -> None:
    """Seen from the bare socket; and the server does not take it for an error of the app."""
    vendor = serve(faults="drop_after_payment")
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(caplog.handler)
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    request = vendor.http.build_request(
        "POST",
        "/submit-job",
        json={"vendorJobTemplateId": template, "jobParams": vendor.params},
        headers=vendor.headers({"idempotency-key": "k", **payment}),
    )
    lines = [b"POST /submit-job HTTP/1.1", *(name + b": " + value for name, value in request.headers.raw)]
    reader, writer = await asyncio.open_connection(request.url.host, request.url.port)
    writer.write(b"\r\n".join([*lines, b"", request.content]))
    try:
        answered = await reader.read()
    except ConnectionResetError:
        answered = b""
    writer.close()
    assert answered == b""
    assert len(await vendor.journal("settlements")) == 1
    logger.removeHandler(caplog.handler)
    assert caplog.records == []


async def test_a_client_that_gives_up_on_a_slow_vendor_has_paid(serve: Serve, buyer: Buyer) -> None:
    """The payment was sent; that nobody waits for the answer does not bring it back."""
    slow, over = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        slow.set()
        await over.wait()

    vendor = serve(sleep=sleep)
    template = await vendor.template()
    payment = buyer.pay(await vendor.submit(template, "k"))
    waiting = asyncio.create_task(vendor.submit(template, "k", payment, fault="slow=1"))
    await slow.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(await vendor.journal("payments")) == 1
    assert await vendor.journal("settlements") == []
    over.set()
    assert (await vendor.submit(template, "k", payment)).status_code == 200
    assert len(await vendor.journal("payments")) == 2
    assert len(await vendor.journal("settlements")) == 1


def _environment(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), **variables}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program on a free port with the given variables, and ends it after the test."""
    processes: list[subprocess.Popen[str]] = []

    def started(**variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu_vendor_mock", "--port", "0"],
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


def _address(process: subprocess.Popen[str]) -> str:
    """Where the process says it listens."""
    assert process.stdout is not None
    match = _LINE.fullmatch(process.stdout.readline())
    assert match is not None
    return match[1]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_program_says_where_it_listens_serves_and_stops(start: Start, stop: signal.Signals) -> None:
    """One line on stdout, and connections are taken; nothing else is said, and a signal ends it."""
    process = start()
    address = _address(process)
    assert httpx.get(f"{address}/health", trust_env=False).status_code == 200
    process.send_signal(stop)
    rest, errors = process.communicate(timeout=10)
    assert (rest, errors) == ("", "")
    assert process.returncode in (0, -stop)


async def test_a_job_is_bought_from_the_program(start: Start, buyer: Buyer) -> None:
    """Quote, 402, payment, receipt, status; by the clock of the machine and with a secret of one's own."""
    address = _address(start(GPU_VENDOR_SECRET="a-secret-of-mine", EPOCH_SECONDS="0"))
    async with httpx.AsyncClient(base_url=address, timeout=10, trust_env=False) as http:
        vendor = Vendor(http)
        assert (await vendor.quote()).status_code == 401
        vendor.secret = "a-secret-of-mine"
        template = await vendor.template()
        unpaid = await vendor.submit(template, "k")
        bought = await vendor.submit(template, "k", buyer.pay(unpaid, validBefore=int(time.time()) + 300))
        assert bought.status_code == 200
        status = await vendor.status(text(bought.json(), "vendorJobId"))
        assert text(status.json(), "status") == "completed"


@pytest.fixture
def fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """What the program says when it does not start."""

    def said(*arguments: str, **variables: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["gpu_vendor_mock", *arguments])
        for name, value in {"GPU_VENDOR_SECRET": "", **variables}.items():
            monkeypatch.setenv(name, value)
        assert main() == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return said


def test_a_bad_setting_stops_the_program_with_its_name(fails: Callable[..., str]) -> None:
    """Exit code 2, each variable and the reason."""
    said = fails(EPOCHS="none", FAULTS="explode").splitlines()
    assert said[0] == "gpu_vendor_mock cannot start."
    assert {line.partition(":")[0] for line in said[1:]} == {"EPOCHS", "FAULTS"}


def test_a_taken_port_is_said_to_be_taken(fails: Callable[..., str]) -> None:
    """Exit code 2 and the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in fails("--port", port)


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    """Exit code 2 and a line, not a traceback."""
    monkeypatch.setattr(sys, "argv", ["gpu_vendor_mock", f"--port={port}"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "argument --port: " in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "vendors.example"])
def test_the_well_known_secret_is_for_loopback_only(fails: Callable[..., str], host: str) -> None:
    """Whoever can reach the vendors could use it."""
    assert "set GPU_VENDOR_SECRET" in fails("--host", host, "--port", "0")


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
def test_other_addresses_are_for_a_secret_of_ones_own(fails: Callable[..., str], host: str) -> None:
    """With one, the address is taken (here, one that cannot be had stands for it)."""
    with socket.create_server((host, 0)) as taken:
        port = str(taken.getsockname()[1])
        said = fails("--host", host, "--port", port, GPU_VENDOR_SECRET="a-secret-of-mine")
    assert f"cannot listen on {host}:{port}" in said
