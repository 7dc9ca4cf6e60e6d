"""Dockerfile and compose.yaml, without an engine: what they name is there, and runs."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from agent.process.settings import Settings
from scripts.exits import Exit
from scripts.serve.servers import ROOT, ServerProcess, clean

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())
STAGES: Final = [f"FROM {stage}" for stage in DOCKERFILE.split("\nFROM ")[1:]]
REQUIREMENTS: Final = ROOT / "requirements-server.txt"
EMBEDDED: Final = ("mongomock", "sentinels", "pytz", "packaging")
"""In the tests' stead of the database server, which the image talks to."""


def instructions(name: str, stage: str) -> list[str]:
    """What follows that word in a stage."""
    return re.findall(rf"^ *{name} +(.*)$", stage, re.MULTILINE)


def copied() -> list[str]:
    """Sources in the checkout of what the image gets."""
    found = [line.split()[:-1] for stage in STAGES for line in instructions("COPY", stage) if "--from" not in line]
    return [source for sources in found for source in sources]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory that holds what the image's working directory holds, and a way to hide what is not installed."""
    place = tmp_path / "image"
    place.mkdir()
    for line in instructions("COPY", STAGES[-1]):
        if "--from" not in line:
            source, target = line.split()
            shutil.copytree(ROOT / source, place / target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "scripts" / "only.py", place)
    return place


def command(service: str) -> list[str]:
    """What a service of compose.yaml runs, without `python -m`; the image's own command where it names none."""
    line = COMPOSE["services"][service].get("command") or json.loads(instructions("CMD", STAGES[-1])[-1])
    assert line[:2] == ["python", "-m"]
    return [str(word) for word in line[2:]]


def on_a_free_port(line: list[str]) -> list[str]:
    """The same, where a test can have it."""
    return ["127.0.0.1" if word == "0.0.0.0" else "0" if word in ("3000", "4001") else word for word in line]


def started(image: Path, line: list[str], health: str, settings: Mapping[str, str], *extra: str) -> ServerProcess:
    """A server of the image, with its packages and no others."""
    only = ["only", ",".join([str(REQUIREMENTS), *extra]), *line]
    return ServerProcess("server of the image", only, health, image, clean(settings))


def health_check(image: Path, url: str) -> int:
    """Exit code of the image's check, with that address in place of its own."""
    (line,) = re.findall(r"^HEALTHCHECK .* CMD (.*)$", STAGES[-1], re.MULTILINE)
    words = json.loads(line)
    assert words[:2] == ["python", "-m"]
    done = subprocess.run(
        [sys.executable, "-m", words[2], url], cwd=image, capture_output=True, timeout=30, check=False
    )
    return done.returncode


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    """By the checkout and by .dockerignore; nothing else is, so no secret and no test gets in."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    let_through = {rule[1:].removesuffix("/**") for rule in rules if rule[0] == "!"}

    assert rules[0] == "*"
    assert set(copied()) == let_through
    assert all((ROOT / source).exists() for source in copied())
    assert {"**/.env*", "**/__pycache__"} <= set(rules)
    assert not {"tests", "docs", ".env", "contracts"} & set(copied())


def test_the_image_is_small_pinned_and_not_run_by_root() -> None:
    """A slim base of an exact version in both stages, a user of its own, no development requirements, no curl."""
    bases = {line.split()[0] for stage in STAGES for line in instructions("FROM", stage)}

    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    (user,) = instructions("USER", STAGES[-1])
    assert int(user) > 0
    assert "requirements-dev" not in DOCKERFILE
    assert "curl" not in DOCKERFILE
    assert STAGES[-1].index("\nUSER ") > STAGES[-1].rindex("\nRUN ")


def test_the_server_requirements_are_the_functions_and_a_server() -> None:
    """The same versions as functions ship and as the tests run with."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") < pins("requirements-server.txt") < pins("requirements-dev.txt")


def test_the_api_serves_from_the_image_and_its_health_check_tells(image: Path) -> None:
    """With what is copied and installed there and no more; the check fails once the server is gone."""
    settings = {"API_TOKEN": "token-of-the-image"}
    line = on_a_free_port(command("api"))
    with started(image, line, "/api/health", settings, *EMBEDDED) as server:
        url = server.ready()

        assert health_check(image, f"{url}/api/health") == 0
        assert health_check(image, f"{url}/api/runs") == 1
        assert httpx.get(f"{url}/api/runs", trust_env=False).status_code == 401
        assert "server" not in httpx.get(f"{url}/api/health", trust_env=False).headers
    assert health_check(image, f"{url}/api/health") == 1
    assert health_check(image, "no address") == 2


@pytest.mark.parametrize(
    ("settings", "missing"), [({}, "API_TOKEN"), ({"API_TOKEN": "token-of-the-image"}, "MONGODB_URI")]
)
def test_the_image_serves_nobody_without(image: Path, settings: dict[str, str], missing: str) -> None:
    """A token, for it is reached from outside its container, or a database: it says what to set, and ends."""
    done = subprocess.run(
        [sys.executable, "-m", "only", str(REQUIREMENTS), *command("api")],
        cwd=image,
        env=clean(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, json.loads(done.stderr)["code"]) == (Exit.SETUP, "setup")
    assert f"{missing} is not set" in done.stderr


def test_the_health_check_fails_without_the_database(image: Path) -> None:
    """The server is up, and not well."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"mongodb://127.0.0.1:{closed.getsockname()[1]}/?serverSelectionTimeoutMS=200"
        settings = {"API_TOKEN": "token-of-the-image", "MONGODB_URI": uri}
        with started(image, on_a_free_port(command("api")), "/openapi.json", settings) as server:
            assert health_check(image, f"{server.ready()}/api/health") == 1


def test_the_mock_vendors_serve_from_the_image(image: Path) -> None:
    """On the loopback address, which the API's container shares with them."""
    line = command("vendors")
    assert line[line.index("--host") + 1] == "127.0.0.1"
    settings = {"GPU_VENDOR_SECRET": "secret-of-the-image"}

    with started(image, on_a_free_port(line), "/health", settings) as server:
        assert health_check(image, f"{server.ready()}/health") == 0


@pytest.mark.parametrize("service", ["init", "ticker"])
def test_commands_are_in_the_image(image: Path, service: str) -> None:
    """The purser command explains what the service runs."""
    line = command(service)
    done = subprocess.run(
        [sys.executable, "-m", "only", str(REQUIREMENTS), *line, "--help"],
        cwd=image,
        env=clean({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_services_are_locked_down() -> None:
    """Read-only, without capabilities, and reached from this machine only."""
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        if name != "mongo":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
    assert "--replSet" in COMPOSE["services"]["mongo"]["command"]
    assert "ports" not in COMPOSE["services"]["mongo"]


def test_every_service_has_bounds_on_memory_and_processes() -> None:
    """One that goes wild takes nobody with it. And no swap: the key would get onto a disk."""
    for name, service in COMPOSE["services"].items():
        assert re.fullmatch(r"[1-9]\d*[mg]", service["mem_limit"]), name
        assert service["memswap_limit"] == service["mem_limit"], name
        assert 0 < service["pids_limit"] <= 1024, name


def test_who_pays_the_mock_vendors_shares_their_loopback_address() -> None:
    """API and ticker call them; plain http goes nowhere else."""
    services = COMPOSE["services"]

    assert {services[name]["network_mode"] for name in ("api", "ticker", "vendors")} == {"service:net"}


def test_the_shared_network_is_of_a_service_that_does_nothing_else() -> None:
    """One that crashes would come back with a network of its own, and leave the others in the old one, cut off."""
    services = COMPOSE["services"]

    assert services["net"]["command"] == ["sleep", "infinity"]
    assert services["net"]["environment"] == {}
    assert [name for name, service in services.items() if "ports" in service] == ["net"]


def test_the_image_is_built_once() -> None:
    """By the service that is there before all others; and none is fetched that somebody else has named so."""
    services = COMPOSE["services"]

    assert [name for name, service in services.items() if "build" in service] == ["init"]
    assert "init" in services["api"]["depends_on"]
    for name, service in services.items():
        if name != "mongo":
            assert (service["image"], service["pull_policy"]) == ("purser", "never")


def test_settings_of_the_services_are_settings() -> None:
    """By their names; secrets come from outside, and what has no safe default must be given."""
    known = {name.upper() for name in Settings.model_fields}
    environment = COMPOSE["x-purser"]["environment"]

    assert set(environment) <= known
    for name, value in environment.items():
        if re.search("TOKEN|SECRET|KEY", name):
            assert re.fullmatch(rf"\$\{{{name}:(\?.+|-)\}}", value), name
    required = {name for name, value in environment.items() if value.startswith(f"${{{name}:?")}
    assert required == {"API_TOKEN", "X402_PRIVATE_KEY", "GPU_VENDOR_SECRET"}


def test_what_bounds_the_money_is_handed_on() -> None:
    """A limit in `.env` that the services never hear of would be none."""
    bounds = {name.upper() for name in Settings.model_fields if name.startswith(("max_per_", "allowed_"))}
    bounds |= {"FIRST_SEEN_PAYEE", "X402_NETWORKS", "X402_RPC_URLS", "LOOPBACK_VENDORS"}

    assert bounds <= set(COMPOSE["x-purser"]["environment"])
