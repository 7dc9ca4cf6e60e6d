"""GET /docs: the reference of the API as a page, made of what we ship.

No script runs on it and nothing is loaded from elsewhere, so it needs no exception from the policy that every
answer bears (`api._middleware`), and there is nothing to type a token into: it is served on every server. What it
says is what docs/api.md says. Whoever wants to click gives `/openapi.json` to a tool of their own.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from api._markdown import anchor, to_html
from api._reference import reference

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_ROUTE: Final = re.compile(r"^### ([A-Z]+ /\S*)$", re.MULTILINE)

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Purser: the API</title>
<link rel="stylesheet" href="docs.css">
</head>
<body>
<nav>
<ul>
{routes}
<li><a href="#answers">Answers</a></li>
<li><a href="#errors">Errors</a></li>
</ul>
</nav>
<main>
<h1>Purser: the API</h1>
<p>For tools: <a href="openapi.json">openapi.json</a></p>
{text}
</main>
</body>
</html>
"""

_STYLE: Final = """\
:root { color-scheme: light dark; --faint: #8884; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; padding: 1rem; }
nav { padding: 1rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
h2, h3 { margin: 2.5rem 0 0.5rem; }
h3 { border-top: 1px solid var(--faint); padding-top: 1rem; }
code, pre, nav { font-family: ui-monospace, monospace; font-size: 0.85rem; }
code, pre { background: #8882; overflow-wrap: anywhere; }
pre { padding: 0.75rem; white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--faint); padding: 0.3rem 0.6rem 0.3rem 0; }
th, td { text-align: left; vertical-align: top; }
:target { background: #fd06; }
@media (min-width: 70rem) {
  body { display: grid; grid-template-columns: 24rem 1fr; }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; box-sizing: border-box; }
}
"""


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page: routes to go to, and the whole reference."""
    text = reference(request.app.openapi())
    routes = [f'<li><a href="#{anchor(name)}">{name}</a></li>' for name in _ROUTE.findall(text)]
    return HTMLResponse(_PAGE.format(routes="\n".join(routes), text=to_html(text)))


@router.get("/docs.css")
async def style() -> Response:
    """How the page looks."""
    return Response(_STYLE, media_type="text/css")
