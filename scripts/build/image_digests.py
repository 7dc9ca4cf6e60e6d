"""`make lock-images`: names the images of Dockerfile and compose.yaml by the digests that their tags have now.

Who publishes an image can move its tag to another; a digest is of one image for good. Docker asks the registry.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from scripts.serve.servers import ROOT

__all__ = ["FILES", "IMAGE", "main"]

FILES: Final = ("Dockerfile", "compose.yaml")

IMAGE: Final = re.compile(
    r"^(?P<before>FROM |\s*image: )(?P<tag>[\w./:-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)
"""A line that names an image of somebody else. Ours, `purser`, is built here and has no tag."""

_TOLD: Final = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


class _NoDigest(Exception):
    """The message says of which image, and why."""


def main(root: Path = ROOT) -> int:
    """Write all digests and print them; 1, and nothing is written, where one is not to be had."""
    pulled = cache(_pulled)
    try:
        texts = {root / name: _with_digests((root / name).read_text("utf-8"), pulled) for name in FILES}
    except _NoDigest as exc:
        print(f"{exc}\nnothing was changed", file=sys.stderr)
        return 1
    for path, text in texts.items():
        path.write_text(text, "utf-8")
        for found in IMAGE.finditer(text):
            print(f"{path.name}: {found['tag']}{found['digest']}")
    return 0


def _with_digests(text: str, digest_of: Callable[[str], str]) -> str:
    return IMAGE.sub(lambda found: f"{found['before']}{found['tag']}@{digest_of(found['tag'])}", text)


def _pulled(tag: str) -> str:
    """What the registry says that the tag is: for an image of several architectures, of them all."""
    try:
        done = subprocess.run(["docker", "pull", tag], capture_output=True, text=True, check=False)
    except OSError as exc:
        raise _NoDigest(f"docker cannot be run: {exc.strerror}") from None
    told = _TOLD.search(done.stdout)
    if done.returncode != 0 or told is None:
        raise _NoDigest(f"docker pull {tag} told no digest: {done.stderr.strip() or done.stdout.strip()}")
    return told[1]


if __name__ == "__main__":
    sys.exit(main())
