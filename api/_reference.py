"""The reference of the API in Markdown, from its OpenAPI document and the table of problem codes.

`docs/api.md` is this text, and so is the page at `/docs` (`api._docs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import log10
from shlex import quote
from typing import Any, Final

from api._context import CRON_SCHEME
from api._problems import ADVICE, CODES

__all__ = ["reference"]

_FIRST_ERROR: Final = 400
_REFERENCE: Final = re.compile(r'"#/components/schemas/(\w+)"')

_HEAD: Final = """\
Send `Authorization: Bearer` with an [API key](keys.md) or the operator's token, and JSON
(`Content-Type: application/json`, at most 64 KB; unknown fields are refused). Amounts are dollars with at most 6
decimals. Every answer bears `X-Request-Id`: the one that came in, if it is 1 to 64 of `A-Z a-z 0-9 . _ -`, else a
new one. Every line of the log about the request has it. Pages of other sites can read nothing here (CORS is off),
and nothing is to be cached.

Each route has a command to try it with. Set `PURSER_URL` to the server's address and `API_TOKEN` to what you send
(anything where the server has none), and replace the ids.

"""

_SHAPES: Final = """\
## Answers

Every field is there, null where there is nothing to say; of a `HealthAnswer` those are left out that the caller
may not see. Fields may be added: read past those you do not know.

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


def reference(described: Mapping[str, Any]) -> str:
    """What callers need to know of every route, answer and error that the OpenAPI document describes."""
    lines = [f"| `{code}` | {status} | {means} | {ADVICE[code]} |" for code, (status, means) in CODES.items()]
    routes, shapes = "\n".join(_routes(described)), "\n".join(_shapes(described))
    return f"{_HEAD}## Routes\n\n{routes}\n{_SHAPES}{shapes}\n{_ERRORS}" + "\n".join(lines) + "\n"


def _routes(described: Mapping[str, Any]) -> Iterator[str]:
    schemas = described["components"]["schemas"]
    for path, methods in sorted(described["paths"].items()):
        for method, operation in methods.items():
            yield f"### {method.upper()} {path}\n"
            yield f"{_line(operation['description'])}\n"
            yield f"    {_command(path, method, operation, schemas)}\n"
            yield from _inputs(operation, schemas)
            yield f"Answers {_successes(operation)}; errors: {_codes(operation)}.\n"


def _inputs(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (each["name"], each["in"], each["schema"], each["required"], each.get("description"))
        for each in operation.get("parameters", ())
    ]
    body = _body(operation, schemas)
    if body is not None:
        required = body.get("required", ())
        rows += [(name, "body", each, name in required, None) for name, each in body["properties"].items()]
    if rows:
        yield "| field | in | type | |\n|---|---|---|---|"
        for name, place, schema, needed, said in rows:
            about = _line(said or schema.get("description", ""))
            kind = _line(_type(schema) + (", required" if needed else _default(schema)))
            yield f"| `{name}` | {place} | {kind} | {about} |"
        yield ""


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    found: Mapping[str, Any] = schemas[content["schema"]["$ref"].rpartition("/")[2]]
    return found


def _command(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """The operation as curl does it, with what it needs and the examples there are."""
    needed = [each for each in operation.get("parameters", ()) if each["required"] and each["in"] == "query"]
    query = "&".join(f"{each['name']}={_stand_in(each['name'])}" for each in needed)
    place = re.sub(r"{(\w+)}", lambda found: _stand_in(found[1]), path) + (f"?{query}" if query else "")
    words = ["curl", *([] if method == "get" else ["-X", method.upper()]), f'"$PURSER_URL{place}"']
    token = "CRON_SECRET" if any(CRON_SCHEME in each for each in operation["security"]) else "API_TOKEN"
    words.append(f'-H "Authorization: Bearer ${token}"')
    body = _body(operation, schemas)
    if body is not None:
        fields = body.get("properties", {}).items()
        example = {name: schema["examples"][0] for name, schema in fields if schema.get("examples")}
        words += ["-H 'Content-Type: application/json'", "-d", quote(json.dumps(example))]
    return " ".join(words)


def _stand_in(name: str) -> str:
    """`RUN_ID` for `runId` and for `run_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema:
        name = str(schema["$ref"].rpartition("/")[2])
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return ", ".join(
            [f"list of {_type(schema['items'])}", *_range(schema, "minItems", "maxItems", " entries")]
        )
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return ", ".join([str(schema.get("format") or schema.get("type", "any")), *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"
    else:
        yield from _range(schema, "minLength", "maxLength", " characters")
    if "exclusiveMinimum" in schema:
        yield f"more than {schema['exclusiveMinimum']:.12g}"
    yield from _range(schema, "minimum", "maximum", "")
    if "multipleOf" in schema:
        yield f"at most {-round(log10(schema['multipleOf']))} decimals"


def _range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> Iterator[str]:
    if least in schema and most in schema:
        yield f"{schema[least]:.12g} to {schema[most]:.12g}{unit}"
    elif least in schema:
        yield f"at least {schema[least]:.12g}{unit}"
    elif most in schema:
        yield f"at most {schema[most]:.12g}{unit}"


def _default(schema: Mapping[str, Any]) -> str:
    return f", default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""


def _shapes(described: Mapping[str, Any]) -> Iterator[str]:
    """The objects in answers, by name."""
    schemas = described["components"]["schemas"]
    for name in sorted(_answered(described)):
        yield f"### {name}\n"
        yield f"{_line(schemas[name].get('description', ''))}\n"
        yield "| field | type | |\n|---|---|---|"
        for field, schema in schemas[name]["properties"].items():
            yield f"| `{field}` | {_line(_type(schema))} | {_line(schema.get('description', ''))} |"
        yield ""


def _answered(described: Mapping[str, Any]) -> set[str]:
    """Names of the objects that answers are, and of those within them."""
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    waiting = [
        answer
        for operation in operations
        for status, answer in operation["responses"].items()
        if int(status) < _FIRST_ERROR
    ]
    found: set[str] = set()
    while waiting:
        names = set(_REFERENCE.findall(json.dumps(waiting))) - found
        found |= names
        waiting = [described["components"]["schemas"][name] for name in names]
    return found


def _successes(operation: Mapping[str, Any]) -> str:
    found = []
    for status, answer in operation["responses"].items():
        if int(status) < _FIRST_ERROR:
            shapes = [_type(media.get("schema", {})) for media in answer.get("content", {}).values()]
            media = ", ".join(answer.get("content", {}))
            shown = f" {shapes[0]}" if media == "application/json" else f" {media}" if media else " without a body"
            found.append(f"{status}{shown}")
    return ", ".join(found)


def _codes(operation: Mapping[str, Any]) -> str:
    found = [
        code
        for status, answer in operation["responses"].items()
        if int(status) >= _FIRST_ERROR
        for code in answer["content"]["application/problem+json"]["examples"]
    ]
    return ", ".join(f"`{code}`" for code in CODES if code in found)


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
