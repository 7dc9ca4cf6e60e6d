"""`python -m scripts.serve.healthy URL` ends with 0 if it answers 200: a container's health check without curl."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from typing import Final

__all__ = ["main"]

SECONDS: Final = 5.0


def main() -> int:
    """0: it is well. 1: it is not, or does not answer in time. 2: no http URL was given."""
    match sys.argv[1:]:
        case [url] if url.startswith("http://"):
            pass
        case _:
            print("usage: python -m scripts.serve.healthy http://127.0.0.1:3000/api/health", file=sys.stderr)
            return 2
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS) as answer:
            status = answer.status
    except (OSError, ValueError) as exc:  # refused, too slow, not 2xx, not HTTP
        print(f"{url}: {exc}", file=sys.stderr)
        return 1
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
