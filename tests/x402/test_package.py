"""The package as a whole: what it shows, what it loads, what it leans on."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import x402
from x402 import errors
from x402.errors import X402Error

ROOT = Path(x402.__file__).parent
_HEAVY = {
    "chain.relayer": {"web3", "aiohttp", "eth_account", "eth_typing"},
    "wallets.cdp": {"jwt", "cryptography"},
    "selling.settlements_mongo": {"pymongo", "bson"},
}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if path.stem != "__init__"
}


@pytest.mark.parametrize("name", FILES)
def test_all_names_what_a_module_defines_in_public(name: str) -> None:
    """`__all__` and the public definitions of a module do not drift apart."""
    module = importlib.import_module(f"x402.{name}")
    tree = ast.parse(FILES[name].read_text())
    defined: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
    public = {name for name in defined if not name.startswith("_")}
    assert set(module.__all__) == public


@pytest.mark.parametrize("name", FILES)
def test_the_package_leans_on_no_other_part_of_the_project(name: str) -> None:
    """x402 could be lifted out with net: it imports both, the standard library, httpx, coincurve and keccak.

    Who sends transactions needs web3 too, who has a wallet at Coinbase its tokens, who sells from many machines
    PyMongo, in modules that nobody else imports.
    """
    tree = ast.parse(FILES[name].read_text())
    roots = {
        (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert roots - set(sys.stdlib_module_names) <= {"x402", "net", "httpx", "coincurve", "Crypto"} | _HEAVY.get(
        name, set()
    )


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("x402.wire, x402.decode, x402.policy, x402.networks", ["coincurve", "Crypto", "httpx", "email"]),
        (
            "x402.negotiation, x402.wallets.signers, x402.selling.seller, x402.selling.offline",
            ["httpx", "sqlite3", "pymongo"],
        ),
        ("x402.selling.desk, x402.selling.idempotency", ["httpx", "starlette"]),
        ("x402.client, x402.selling.remote", ["pydantic", "eth_account", "web3"]),
        ("x402.chain.reader, x402.chain.facilitator", ["pydantic", "eth_account", "web3", "aiohttp"]),
    ],
)
def test_importing_stays_light(imports: str, absent: list[str]) -> None:
    """A function that starts cold pays for every import."""
    script = f"import sys, {imports}; print([name for name in {absent!r} if name in sys.modules])"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]"


def test_every_error_is_of_the_family_and_in_its_tree() -> None:
    """One family; the docstring draws all of it."""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), X402Error)
        assert f"{name} " in (errors.__doc__ or "") or f"{name}\n" in (errors.__doc__ or "")
