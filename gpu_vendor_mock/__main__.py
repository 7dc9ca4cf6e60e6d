"""`python -m gpu_vendor_mock [--host 127.0.0.1] [--port 4001]`."""

from __future__ import annotations

import argparse
import sys

from gpu_vendor_mock.errors import BadSetting
from gpu_vendor_mock.server import port, serve
from gpu_vendor_mock.settings import load_settings


def main() -> int:
    """Run the program; 0 when stopped, 2 when a setting or the address cannot be used."""
    parser = argparse.ArgumentParser(prog="gpu_vendor_mock", description="GPU vendors to rent from, over x402.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, help="port, 0 for a free one (default: PORT, or 4001)")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        serve(settings, arguments.host, settings.port if arguments.port is None else arguments.port)
    except BadSetting as exc:
        sys.stderr.write(f"gpu_vendor_mock cannot start.\n{exc}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
