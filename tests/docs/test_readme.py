"""The README's walk through, typed as printed: curl against a server and vendors in processes of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.seed import catalog
from scripts.serve.servers import api_server, vendor_server

README = (Path(__file__).parents[2] / "README.md").read_text()


def shape(shown: str) -> dict[str, Any]:
    """A printed answer as JSON: `...` stands for whatever is there."""
    text = shown.replace(",...", "").replace("[...]", "[]")
    found: dict[str, Any] = json.loads(text)
    return found


def like(real: Any, shown: Any) -> bool:
    """Whether an answer has all that the README shows of it."""
    if isinstance(shown, dict):
        return isinstance(real, dict) and all(key in real and like(real[key], shown[key]) for key in shown)
    if isinstance(shown, list):
        return isinstance(real, list)
    if isinstance(shown, str) and shown.endswith("..."):
        return isinstance(real, str)
    return type(real) is type(shown) and bool(real == shown)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_walk_through_answers_as_printed(tmp_path: Path) -> None:
    """Each command in turn, each answer against the one that is shown, key for key."""
    (block,) = re.findall(r"<!-- walkthrough -->\n```sh\n(.*?)```", README, re.DOTALL)
    steps = re.findall(r"(curl .*?)\n# (\{.*?\})\n", block, re.DOTALL)
    run_id = "66a1..."
    with vendor_server(tmp_path, {"EPOCH_SECONDS": "60"}) as vendors, api_server(tmp_path, {}) as api:
        for vendor in catalog(vendors.ready()):
            httpx.post(f"{api.ready()}/api/vendors", json=vendor, timeout=10).raise_for_status()
        for command, shown in steps:
            typed = command.replace("http://", "").replace("localhost:3000", api.url).replace("66a1...", run_id)

            done = subprocess.run(["/bin/sh", "-c", typed], capture_output=True, text=True, timeout=60, check=True)

            answer = json.loads(done.stdout)
            assert like(answer, shape(shown)), f"{command}\n{done.stdout[:2000]}"
            run_id = answer.get("_id", run_id)
    assert len(steps) == 3
    assert re.fullmatch("[0-9a-f]{24}", run_id)
