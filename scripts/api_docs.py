"""`make api-docs`: docs/api.md from the OpenAPI document and the table of problem codes, which a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from api._app import create_app
from api._problems import ADVICE, CODES

__all__ = ["PAGE", "page"]

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/api.md"
"""The file that is written."""

_HEAD: Final = """\
# The API

Made by `make api-docs` from the code; `tests/docs/test_api.py` fails when it is not what the code says. The
server has the same as OpenAPI at `/openapi.json`, and as a page to try it with at `/docs` where no `API_TOKEN`
is set.

Send `Authorization: Bearer` with an [API key](keys.md) or the operator's token, and JSON
(`Content-Type: application/json`, at most 64 KB; unknown fields are refused). Amounts are dollars with at most 6
decimals. Every answer bears `X-Request-Id`: the one that came in, if it is 1 to 64 of `A-Z a-z 0-9 . _ -`, else a
new one. Every line of the log about the request has it. Pages of other sites can read nothing here (CORS is off),
and nothing is to be cached.

"""

_ERRORS: Final = """\
## Errors

Every error is `application/problem+json` with `type`, `title`, `status`, `code`, `detail`, `requestId`, and
`errors` (`field`, `message`) where fields are at fault. Programs look at `code`, which is stable; `detail` is
for people. Only what a server refuses before it has read a request (no HTTP, headers above its own limit) is
answered in its own form.

| code | status | means | what to do |
|---|---|---|---|
"""


def page() -> str:
    """The page as it should be."""
    described = create_app().openapi()
    lines = [f"| `{code}` | {status} | {means} | {ADVICE[code]} |" for code, (status, means) in CODES.items()]
    routes = "\n".join(_routes(described))
    return f"{_HEAD}## Routes\n\n{routes}\n{_ERRORS}" + "\n".join(lines) + "\n"


def _routes(described: Mapping[str, Any]) -> Iterator[str]:
    schemas = described["components"]["schemas"]
    for path, methods in sorted(described["paths"].items()):
        for method, operation in methods.items():
            yield f"### {method.upper()} {path}\n"
            yield f"{_line(operation['description'])}\n"
            yield from _inputs(operation, schemas)
            yield f"Answers {_successes(operation)}; errors: {_codes(operation)}.\n"


def _inputs(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (each["name"], each["in"], each["schema"], each["required"], each.get("description"))
        for each in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        body = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        required = body.get("required", ())
        rows += [(name, "body", each, name in required, None) for name, each in body["properties"].items()]
    if rows:
        yield "| field | in | type | |\n|---|---|---|---|"
        for name, place, schema, needed, said in rows:
            about = _line(said or schema.get("description", ""))
            yield f"| `{name}` | {place} | {_type(schema)}{', required' if needed else ''} | {about} |"
        yield ""


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema.get("type", "any"))


def _successes(operation: Mapping[str, Any]) -> str:
    found = []
    for status, answer in operation["responses"].items():
        if int(status) < 400:
            shapes = [_type(media.get("schema", {})) for media in answer.get("content", {}).values()]
            media = ", ".join(answer.get("content", {}))
            shown = (
                f" `{shapes[0]}`" if media == "application/json" else f" {media}" if media else " without a body"
            )
            found.append(f"{status}{shown}")
    return ", ".join(found)


def _codes(operation: Mapping[str, Any]) -> str:
    found = [
        code
        for status, answer in operation["responses"].items()
        if int(status) >= 400
        for code in answer["content"]["application/problem+json"]["examples"]
    ]
    return ", ".join(f"`{code}`" for code in CODES if code in found)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
