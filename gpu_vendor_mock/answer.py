"""An answer as it goes out, so that it can be kept and given again byte for byte."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, JSON body as bytes, and the headers beside the usual ones."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> Self:
        """The answer with `content` as its JSON."""
        return cls(status, json.dumps(content, separators=(",", ":")).encode(), headers or {})

    @classmethod
    def error(cls, status: int, code: str, message: str) -> Self:
        """The shape of every refusal: `{"error": {"code", "message"}}`."""
        return cls.of(status, {"error": {"code": code, "message": message}})

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same answer with these headers too."""
        return replace(self, headers={**self.headers, **headers})
