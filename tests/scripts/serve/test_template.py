"""template.yaml: what it promises Lambda is so. A linter of AWS's own reads it by hand (docs/deploy.md)."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from agent.process.settings import Settings
from scripts.build.shipped_size import OURS
from scripts.serve.lambda_handler import RESERVE_SECONDS, TICK_EVENT
from scripts.serve.servers import ROOT

MAKE: Final = shutil.which("make") or "make"
TEXT: Final = (ROOT / "template.yaml").read_text()


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        assert isinstance(node, yaml.SequenceNode)
        value = loader.construct_sequence(node, deep=True)
    return {tag if tag == "Ref" else f"Fn::{tag}": value}


_Loader: Final[Any] = type("_Loader", (yaml.SafeLoader,), {})
"""YAML with CloudFormation's tags: `!Ref x` becomes `{"Ref": "x"}`, `!Sub x` `{"Fn::Sub": "x"}`."""

_Loader.add_multi_constructor("!", _tagged)

TEMPLATE: Final[dict[str, Any]] = yaml.load(TEXT, Loader=_Loader)  # noqa: S506 (a SafeLoader, with tags)
FUNCTION: Final[dict[str, Any]] = TEMPLATE["Resources"]["PurserFunction"]["Properties"]
VARIABLES: Final[dict[str, Any]] = FUNCTION["Environment"]["Variables"]

OPTIONAL: Final = {"FIREWORKS_API_KEY": "UsesFireworks", "SEALING_KEYS": "Seals"}
"""Secrets that need not be there, with the condition under which they are."""


def test_the_handler_can_be_imported() -> None:
    """By the string that the function is told."""
    module, _, name = FUNCTION["Handler"].rpartition(".")

    assert callable(getattr(importlib.import_module(module), name))


def test_a_round_and_a_request_have_time() -> None:
    """Two ticks at their longest fit into a round, and one into what the HTTP API waits for."""
    deadline = float(VARIABLES["TICK_DEADLINE_SECONDS"])

    assert FUNCTION["Timeout"] - RESERVE_SECONDS >= 2 * deadline
    assert deadline < 30
    assert FUNCTION["Timeout"] <= 60  # a round of every minute does not overlap the next


def test_the_schedule_sends_what_the_handler_takes() -> None:
    """Every minute unless told otherwise."""
    tick = FUNCTION["Events"]["Tick"]

    assert tick["Type"] == "ScheduleV2"
    assert json.loads(tick["Properties"]["Input"]) == TICK_EVENT
    assert TEMPLATE["Parameters"]["TickSchedule"]["Default"] == "rate(1 minute)"


def test_variables_are_settings_and_secrets_are_references() -> None:
    """Every required one is there; whatever is secret comes out of the secret, and is nowhere in the file."""
    required = {"MONGODB_URI", "X402_PRIVATE_KEY", "GPU_VENDOR_SECRET", "API_TOKEN", "CRON_SECRET"}
    fields = Settings.model_fields
    secret = {name for name in VARIABLES if "SecretStr" in str(fields[name.lower()].annotation)}

    assert {name.lower() for name in VARIABLES} <= set(fields)
    assert required <= secret
    for name in secret:
        reference = f"{{{{resolve:secretsmanager:${{SecretName}}:SecretString:{name}}}}}"
        given: dict[str, Any] = {"Fn::Sub": reference}
        condition = OPTIONAL.get(name)
        assert VARIABLES[name] == (
            given if condition is None else {"Fn::If": [condition, given, {"Ref": "AWS::NoValue"}]}
        )
    assert required.isdisjoint(OPTIONAL)
    assert set(OPTIONAL.values()) <= TEMPLATE["Conditions"].keys()
    assert not [name for name in TEMPLATE["Parameters"] if re.search("Key|Token|Uri|Password", name)]


def test_every_limit_is_a_parameter_that_no_mistake_gets_through() -> None:
    """Empty is none, as in the settings; what is no amount of dollars is refused before anything is deployed."""
    limits = {name.upper() for name in Settings.model_fields if name.startswith("max_per_")}

    assert limits <= VARIABLES.keys()
    for name in limits:
        parameter = TEMPLATE["Parameters"][VARIABLES[name]["Ref"]]
        fits = re.compile(parameter["AllowedPattern"])
        assert parameter["Default"] == ""
        assert all(fits.fullmatch(good) for good in ("", "5", "0.000001"))
        assert not any(fits.fullmatch(bad) for bad in ("-1", "5 USD", "1e3", ".5", "0.0000001"))


def test_the_bound_on_running_runs_is_the_settings_own() -> None:
    """Unless told otherwise; no other number than the function would take is let through."""
    parameter = TEMPLATE["Parameters"][VARIABLES["MAX_RUNNING_PER_KEY"]["Ref"]]
    least, most = Settings.model_fields["max_running_per_key"].metadata

    assert parameter["Default"] == Settings().max_running_per_key
    assert (parameter["MinValue"], parameter["MaxValue"]) == (least.ge, most.le)


def test_the_function_may_do_nothing_but_write_its_logs() -> None:
    """No policy, no role, no layer: the default role has basic execution only. Logs end some day."""
    assert not {"Policies", "Role", "Layers", "VpcConfig"} & FUNCTION.keys()
    (logs,) = [each for each in TEMPLATE["Resources"].values() if each["Type"] == "AWS::Logs::LogGroup"]
    assert logs["Properties"]["RetentionInDays"] == {"Ref": "LogDays"}
    assert FUNCTION["LoggingConfig"]["LogGroup"] == {"Ref": "PurserLogs"}


def test_stale_and_endless_rounds_are_not_retried() -> None:
    """The next minute has another one."""
    assert FUNCTION["EventInvokeConfig"] == {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 120}
    assert FUNCTION["ReservedConcurrentExecutions"] >= 2  # a round and a request


def test_the_build_ships_our_packages_for_the_same_python(tmp_path: Path) -> None:
    """`sam build` calls the Makefile's target; it installs for the runtime that the template names."""
    line = subprocess.run(
        [MAKE, "-n", "build-PurserFunction", f"ARTIFACTS_DIR={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout
    said = subprocess.run(
        [MAKE, "build-PurserFunction"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert TEMPLATE["Resources"]["PurserFunction"]["Metadata"] == {"BuildMethod": "makefile"}
    assert f"--python-version {FUNCTION['Runtime'].removeprefix('python')}" in line
    assert f'"{FUNCTION["Runtime"]}" -m pip' in line
    assert FUNCTION["Architectures"] == ["x86_64"]
    assert line.count("_x86_64") == 2
    assert f"tar -cf - --exclude=__pycache__ {' '.join(OURS)} " in line
    assert said.returncode != 0
    assert "ARTIFACTS_DIR=" in said.stderr
