"""What routes that tick work with. Apart from `_context`, so that routes that only read do not load it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from agent.services import Services
from api._context import ContextOf

__all__ = ["ServicesOf"]


async def _services(context: ContextOf) -> Services:
    return context.services()


ServicesOf = Annotated[Services, Depends(_services)]
"""A route's parameter: stores, vendors, planner and wallet of this process."""
