"""What every test stands on: no setting of this machine leaks in, and no test reaches the network outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from agent.process.settings import Settings

_OURS = (*(name.upper() for name in Settings.model_fields), "GPU_VENDOR_SECRET_")

# How long an example takes says something about the machine and what else it does, nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of the machine, and a `.env` of the checkout, are nobody's business here."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setattr("agent.process.environment.ENV_FILE", tmp_path / "none")
