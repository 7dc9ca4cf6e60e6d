"""What is attacked: the API by its own description, through ASGI, on a stage of its own for each operation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from starlette.types import ASGIApp, Receive, Scope, Send

from api._app import create_app

__all__ = ["SCHEMA", "TARGET"]

_CHECKS: Final = tomllib.loads(Path(__file__).with_name("schemathesis.toml").read_text())["checks"]
"""As the program has them, which reads the rest of that file too."""


@dataclass
class Target:
    """The app of the test that runs just now: the description is read once, when tests are collected."""

    app: ASGIApp = field(default_factory=create_app)
    per_operation: int = 12
    """Random cases for each operation; schemathesis adds its examples and edge cases."""
    cases: int = 0
    """How many there were."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over."""
        await self.app(scope, receive, send)


TARGET: Final = Target()
SCHEMA: Final = schemathesis.openapi.from_asgi(
    "/openapi.json", TARGET, config=SchemathesisConfig.from_dict({"checks": _CHECKS})
)
