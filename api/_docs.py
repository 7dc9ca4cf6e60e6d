"""GET /docs: the description of the API as a page to try it with.

The page's scripts come from a CDN, and whoever could change them there would see the tokens typed into it. So it
is only served where there is no token: in open mode, on one's own machine. /openapi.json is there always.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from api._context import ContextOf
from api._problems import ProblemError

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_CDN: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_NO_ICON: Final = "data:,"


@router.get("/docs")
async def docs(context: ContextOf) -> HTMLResponse:
    """Swagger UI. Its own inline script is allowed by its hash, and what else it loads by name."""
    if context.settings.api_token is not None:
        raise ProblemError("not_found", "/docs is served only where no API_TOKEN is set; see /openapi.json")
    page = get_swagger_ui_html(openapi_url="/openapi.json", title="Purser", swagger_favicon_url=_NO_ICON)
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in scripts)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src {hashes} {_CDN}; style-src 'unsafe-inline' {_CDN}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page
