"""`make api-docs`: docs/api.md, the reference of the API, which a test compares with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from api._app import create_app
from api._reference import reference

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/api.md"
"""The file that is written."""

_HEAD: Final = """\
# The API

Made by `make api-docs` from the code; `tests/docs/test_api.py` fails when it is not what the code says. Every
server has the same at `/docs`, and as OpenAPI at `/openapi.json`.

"""


def page() -> str:
    """The page as it should be."""
    return _HEAD + reference(create_app().openapi())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
