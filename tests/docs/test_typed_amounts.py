"""Amounts that people type, wherever they can: ASCII digits with one point, and nothing else that Python reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from pydantic import TypeAdapter, ValidationError
from typer.core import TyperGroup, TyperOption
from typer.testing import CliRunner

from agent.book.money import InvalidAmount, parse_usd
from agent.process.settings import Settings as AgentSettings
from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.settings import Settings as VendorSettings
from gpu_vendor_mock.settings import load_settings
from scripts.cli.tree import command_line
from scripts.exits import Exit
from x402.codec import decimal_text

ODD = (
    "1_000",
    "１０",
    "١٠",
    "1e3",
    "1E-3",
    "+1",
    "-1",
    " 1",
    "1\n",
    "1 000",
    "1,000",
    "1,5",
    "007",
    "1.",
    ".5",
    "1.2.3",
    "0x10",
    "$1",
    "NaN",
    "inf",
    "",
)
"""To `Decimal` or `float` many of them are numbers, some a thousand times what was meant."""

MONEY = {"USD", "HOURS", "SHARE"}
"""How the command line calls what is an amount, or is multiplied with one."""


APP = command_line()


def options() -> Iterator[tuple[str, TyperOption]]:
    """Every option of every command."""

    def within(group: TyperGroup, path: str) -> Iterator[tuple[str, TyperOption]]:
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                yield from within(command, f"{path}{name} ")
                continue
            for parameter in command.params:
                if isinstance(parameter, TyperOption):
                    yield f"{path}{name} {parameter.opts[-1]}", parameter

    group = typer.main.get_command(APP)
    assert isinstance(group, TyperGroup)
    yield from within(group, "")


OPTIONS = {name: option for name, option in options() if option.metavar in MONEY}
SETTINGS = [name for name in AgentSettings.model_fields if name.startswith("max_per_") or name.endswith("_price")]


@pytest.mark.parametrize("typed", ODD)
def test_what_a_person_did_not_mean_is_refused_as_text(typed: str) -> None:
    """Where all of them are read."""
    with pytest.raises(ValueError, match="plain digits"):
        decimal_text(typed)
    with pytest.raises(InvalidAmount):
        parse_usd(typed)


@pytest.mark.parametrize("typed", ["1", "0.5", "1000", "12.340000"])
def test_plain_digits_are_taken(typed: str) -> None:
    """As they stand there."""
    assert parse_usd(typed) == int(float(typed) * 1_000_000)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_amount_on_the_command_line_is_read_so(name: str) -> None:
    """Those of today and those to come."""
    runner = CliRunner(env={"COLUMNS": "200"})
    for typed in ODD:
        refused = runner.invoke(APP, f"{name}={typed}".split(" ", name.count(" ")))
        assert refused.exit_code == Exit.USAGE, typed
        assert "must be plain digits with at most one point" in refused.stderr, typed


def test_no_amount_on_the_command_line_is_overlooked() -> None:
    """What is called dollars, a price or a budget is one; those that are known are there."""
    words = ("dollar", "price", "budget")
    others = [
        name
        for name, option in options()
        if any(word in f"{name} {option.help or ''}".lower() for word in words) and name not in OPTIONS
    ]
    assert others == []
    assert {"pay --max-usd", "start --budget", "start --price-tolerance"} <= set(OPTIONS)
    assert len(OPTIONS) >= 8


@pytest.mark.parametrize("name", SETTINGS)
def test_every_amount_in_the_environment_is_read_so(name: str) -> None:
    """An empty variable is none that was set; white space around is cut off before."""
    assert len(SETTINGS) >= 6
    for typed in filter(str.strip, ODD):
        with pytest.raises(ValidationError, match="plain digits"):
            AgentSettings.model_validate({name: typed})


@pytest.mark.parametrize("typed", [typed for typed in ODD if typed.strip() == typed != ""])
def test_every_amount_of_the_mock_vendor_is_read_so(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """BASE_PRICE_PER_HOUR, and the prices in MOCK_VENDORS where they are strings."""
    entry: dict[str, object] = {
        "vendorId": "a",
        "name": "A",
        "basePricePerHour": typed,
        "supportedGpuTypes": ["A100"],
    }
    catalog = TypeAdapter(list[dict[str, object]]).dump_json([entry]).decode()
    for variable, value in (("BASE_PRICE_PER_HOUR", typed), ("MOCK_VENDORS", catalog)):
        with monkeypatch.context() as only:
            only.setenv(variable, value)
            with pytest.raises(BadSetting, match="plain digits"):
                load_settings()
    assert VendorSettings.model_validate({"base_price_per_hour": "0.5"}).base_price_per_hour
