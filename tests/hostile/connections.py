"""Attacks that know nothing of GPUs and money: sockets, headers, statuses, redirects, bodies. For any call."""

from __future__ import annotations

import gzip
import zlib
from typing import Final

from tests.hostile.attacks import (
    BAD_ANSWER,
    HARMLESS,
    INJECTION,
    NO_ANSWER,
    ORDER,
    PAYMENT,
    QUOTE,
    STATUS,
    Table,
)
from tests.hostile.scripts import (
    body,
    drip,
    headed,
    honest_but,
    hung,
    pieces,
    raw,
    redirect,
    refusal,
    wrapped,
)

__all__ = ["TABLE"]

TABLE: Final = Table()
attack = TABLE.add
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
_ZEROS: Final = gzip.compress(b" " * (8 * 1024 * 1024))
_deflate: Final = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
_BLANKS: Final = _deflate.compress(b" " * (8 * 1024 * 1024)) + _deflate.flush(zlib.Z_FULL_FLUSH)
"""8 MB in 8 KB, to be had again and again within one stream."""
_BOMBS: Final = {
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff",
    "deflate": b"\x78\xda",
    "br": b"\x1b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "x-unheard-of": b"",
}
"""How a stream of each coding begins. What follows is only right for the first two, and unread for all."""
_MEGABYTE: Final = b"a" * (1024 * 1024)

# The connection

attack("says nothing", hung(), NO_ANSWER, slow=True)
attack("hangs after its headers", hung(_OK + b"Content-Length: 20\r\n\r\n{"), NO_ANSWER, slow=True)
attack("drips headers", drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), NO_ANSWER, slow=True)
attack("drips a body", drip(_OK + b"Content-Length: 999999\r\n\r\n{"), NO_ANSWER, slow=True)
attack("drips a body without end", drip(_OK + b"\r\n{"), NO_ANSWER, slow=True)
attack("drips empty chunk sizes", drip(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"), NO_ANSWER, slow=True)
attack("says 'wait' for ever", drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), NO_ANSWER, slow=True)
attack("says 'early hints' for ever", drip(b"", b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n"), NO_ANSWER, slow=True)
attack("closes at once", raw(b""), NO_ANSWER)
attack("closes within its headers", raw(b"HTTP/1.1 200 OK\r\nContent-Le"), NO_ANSWER)
attack("closes within its body", raw(_OK + b"Content-Length: 999\r\n\r\n{"), NO_ANSWER)
attack("speaks another protocol", raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), NO_ANSWER)
attack("speaks TLS", raw(b"\x15\x03\x01\x00\x02\x02\x28"), NO_ANSWER)
attack("speaks HTTP/0.9", raw(b'{"status":"completed"}'), NO_ANSWER)
attack("speaks HTTP/1.0 without a length", wrapped(bytes, length=False), HARMLESS)

# Headers

attack("10,000 headers", honest_but(*["a:b"] * 10_000), HARMLESS)
attack("headers of 1 MB", honest_but("X-A: " + "a" * 1024 * 1024), NO_ANSWER)
attack("headers without end", pieces(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n" * 8_192, 10_000), NO_ANSWER, heavy=True)
attack("two lengths", honest_but("Content-Length: 1"), NO_ANSWER)
attack("a negative length", raw(_OK + b"Content-Length: -1\r\n\r\n{}"), NO_ANSWER)
attack(
    "a length of 10^18",
    raw(_OK + b"Content-Length: 999999999999999999\r\n\r\n{}"),
    {**NO_ANSWER, QUOTE: "quote_failed"},
)
attack("a length of 10^30", raw(_OK + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n{}"), NO_ANSWER)
attack("control characters in a header", honest_but("X-A: \x00\x1b[31m"), NO_ANSWER)
attack("cookies", honest_but("Set-Cookie: a=b; Path=/", *["Set-Cookie: c=" + "d" * 50] * 500), HARMLESS)
attack("cookies for all hosts", honest_but("Set-Cookie: a=b; Domain=127.0.0.1; Path=/; Max-Age=999999"), HARMLESS)
attack("HTML as content type", wrapped(bytes, "X-Content-Type: text/html"), HARMLESS)
attack(
    "a Date of another age",
    honest_but("Date: Fri, 31 Dec 9999 23:59:59 -2359"),
    {**HARMLESS, ORDER: "clock_wrong"},  # whose clock it is nobody knows: nothing is signed that may not be valid
)
attack("a Date that is none", honest_but("Date: Mon, 99 Foo -1 " + "9" * 5_000), HARMLESS)
attack("a reason of bytes", raw(b"HTTP/1.1 503 \xff\xfe\x9b31m\r\n\r\n"), NO_ANSWER)
attack("no retry for a year", raw(headed(503, b"{}", "Retry-After: 31536000")), NO_ANSWER)

# Statuses

attack("101 Switching Protocols", honest_but("Upgrade: h2c", status=101), NO_ANSWER)
attack("204 No Content", raw(b"HTTP/1.1 204 No Content\r\n\r\n"), BAD_ANSWER)
attack("205 Reset Content", raw(headed(205, b"")), BAD_ANSWER)
attack("206 Partial Content", body(b'{"vendorJobId":', 206), BAD_ANSWER)
attack("304 Not Modified", raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), BAD_ANSWER)
attack("status 999", honest_but(status=999), BAD_ANSWER)
attack("status 600", honest_but(status=600), BAD_ANSWER)
attack("503 with a page of HTML", raw(headed(503, INJECTION.encode())), NO_ANSWER)
attack(
    "409 for ever",
    refusal(409, {"error": "still at it"}),
    {**NO_ANSWER, QUOTE: "quote_failed", ORDER: "vendor_refused"},
)
attack("425 for ever", refusal(425, {"error": "too early"}), NO_ANSWER)
attack(
    "403 with instructions",
    refusal(403, {"error": {"message": INJECTION}}),
    {QUOTE: "quote_failed", ORDER: "vendor_refused", PAYMENT: "payment_rejected", STATUS: "overtime"},
)
attack(
    "410 Gone",
    refusal(410, {"detail": INJECTION * 10_000}),
    {QUOTE: "quote_failed", ORDER: "vendor_refused", PAYMENT: "payment_rejected", STATUS: "job_forgotten"},
)
attack("402 without terms", refusal(402, {"pay": INJECTION}), {**BAD_ANSWER, PAYMENT: "payment_rejected"})

# Redirects

for _status in (300, 301, 302, 303, 305, 307, 308):
    attack(f"{_status} to an internal address", redirect(_status, "{canary}/job-status"), BAD_ANSWER)
for _target in ("http://169.254.169.254/latest/meta-data/", "//127.0.0.1:1/", "file:///etc/passwd", "\x00"):
    attack(f"307 to {_target!r}", redirect(307, _target), BAD_ANSWER if _target != "\x00" else NO_ANSWER)
attack("200 with a Refresh", honest_but("Refresh: 0; url=http://169.254.169.254/", "Location: /x"), HARMLESS)

# Bodies that are too large, or become so

for _coding, _magic in _BOMBS.items():
    attack(
        f"a bomb, Content-Encoding {_coding}",
        pieces(_OK + f"Content-Encoding: {_coding}\r\n\r\n".encode() + _magic, _BLANKS, 25),
        BAD_ANSWER,
        heavy=True,
    )
attack(
    "a bomb in a bomb",
    pieces(_OK + b"Content-Encoding: gzip, gzip\r\n\r\n", gzip.compress(_BOMBS["gzip"] + _BLANKS * 25), 1),
    BAD_ANSWER,
    heavy=True,
)
attack(
    "a bomb, Transfer-Encoding gzip", raw(_OK + b"Transfer-Encoding: gzip\r\n\r\n" + _ZEROS), NO_ANSWER, heavy=True
)
attack("a bomb that is not announced", body(_ZEROS), BAD_ANSWER)
attack("compressed and honest", wrapped(zlib.compress, "Content-Encoding: deflate"), BAD_ANSWER)
attack("a body of 10 MB", body(b'{"logs":["' + _MEGABYTE * 10 + b'"]}'), BAD_ANSWER, heavy=True)
attack("a body without end", pieces(_OK + b"\r\n", _MEGABYTE[:65_536], 10**6), BAD_ANSWER, heavy=True)
attack(
    "chunks without end",
    pieces(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65_536 + b"\r\n", 10**6),
    BAD_ANSWER,
    heavy=True,
)
attack("chunks of garbage", raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), NO_ANSWER)
attack("a chunk of 2^64", raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}"), NO_ANSWER)
attack(
    "an extension of a chunk of 1 MB", raw(_OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + _MEGABYTE), NO_ANSWER
)

# JSON

_READ: Final = {at: BAD_ANSWER[at] for at in (QUOTE, PAYMENT)}
"""All bodies are read the same way: it is enough to try what is large at two of them."""

attack("brackets, 10^6 deep", body(b"[" * 10**6), BAD_ANSWER, heavy=True)
attack("objects, 10^5 deep", body(b'{"a":' * 100_000), _READ, heavy=True)
attack("4 MB of empty lists", body(b'{"logs":[' + b"[]," * 1_300_000 + b"[]]}"), _READ, heavy=True)
attack("4 MB of numbers", body(b'{"logs":[' + b"1.5," * 1_000_000 + b"1]}"), _READ, heavy=True)
attack("a string that never ends", body(b"[]" * 33 + b'"' + b'\\"' * 2_000_000), _READ, heavy=True)
attack("a number of 4 MB", body(b'{"progress":' + b"1" * 4_000_000 + b"}"), _READ, heavy=True)
attack("each key twice", wrapped(lambda content: content[:-1] + b"," + content[1:]), {**BAD_ANSWER, ORDER: None})
attack("no JSON", body(INJECTION), {**BAD_ANSWER, ORDER: "contract_broken"})
attack("a list", body(b"[]"), BAD_ANSWER)
attack("null", body(b"null"), BAD_ANSWER)
attack("not UTF-8", body(b'{"status":"\xff\xfe"}'), BAD_ANSWER)
attack("half a surrogate pair", body(b'{"status":"\\ud800","vendorJobId":"\\ud800"}'), BAD_ANSWER)
attack("a byte order mark", body("\ufeff{}"), BAD_ANSWER)
attack("an empty object", body(b"{}"), BAD_ANSWER)
