"""docs/pay.md and docs/wallets.md: their commands, typed as printed, and their tables."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from scripts.cli.pay import EPILOG
from scripts.pay.values import PayExit
from scripts.serve.servers import ROOT, clean, vendor_server
from tests.x402.samples import KEY

PAY, WALLETS = ((ROOT / "docs" / name).read_text() for name in ("pay.md", "wallets.md"))


def block(page: str, name: str) -> str:
    """The shell commands under a mark."""
    (found,) = re.findall(rf"<!-- {name} -->\n```sh\n(.*?)```", page, re.DOTALL)
    return str(found)


def typed(script: str, here: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """The script in a shell, from another directory than the checkout's."""
    environment = clean({"PURSER_HOME": str(here / "home"), "PATH": os.environ["PATH"], **settings})
    script = script.replace("./purser", f'"{ROOT}/purser"')
    return subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_page_can_be_typed(tmp_path: Path) -> None:
    """On the mock vendors: shown, refused, paid, and fetched again; then the messages are looked at."""
    with vendor_server(tmp_path, {}) as vendors:
        port = vendors.ready().rsplit(":", 1)[1]
        script = (block(PAY, "pay") + block(PAY, "x402")).replace("localhost:4001", f"localhost:{port}")
        done = typed(script, tmp_path, X402_PRIVATE_KEY=KEY)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    jobs = re.findall(r'\{"vendorJobId":"(job_\w+)","status":"queued"\}', out)
    assert len(jobs) == 2
    assert jobs[0] == jobs[1]
    assert out.startswith("3\n{")
    assert '"kind": "challenge"' in out
    assert out.endswith("invalid: malformed: the header: not JSON\n1\n")
    assert "dry run: nothing was signed" in done.stderr
    assert "paid 1.4 USD\n" in done.stderr
    assert "paid 1.4 USD (signed before)\n" in done.stderr


def test_a_wallet_can_be_made_as_printed(tmp_path: Path) -> None:
    """The password comes from the environment, there being nobody to ask; no node is set."""
    done = typed(block(WALLETS, "wallet"), tmp_path, PURSER_KEYSTORE_PASSWORD="pw")
    made, shown = done.stdout.splitlines()
    assert made == f"{shown} is in {tmp_path}/home/keystore.json"
    assert "X402_RPC_URLS is not set" in done.stderr


def test_the_exit_codes_are_the_commands() -> None:
    """In the page and in --help: all of them, and no other."""
    codes = {0, 2} | {int(code) for code in PayExit}
    table = PAY[PAY.index("| exit code |") :]
    assert {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)} == codes
    assert {int(code) for code in re.findall(r"^    (\d)  ", EPILOG, re.MULTILINE)} == codes


@pytest.mark.parametrize("name", re.findall(r"^\| `(--[a-z-]+)", PAY, re.MULTILINE))
def test_the_options_are_the_commands(name: str) -> None:
    """Each of the table's is in --help."""
    done = subprocess.run(
        [ROOT / "purser", "pay", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"{name} " in done.stdout
