"""Fail where fewer than 95 % of a package's branches were taken by the tests. Reads `coverage json` on stdin."""

import json
import sys
from collections import defaultdict

FLOOR = 95.0
PACKAGES = ("agent", "net", "x402", "vendors")

taken: dict[str, int] = defaultdict(int)
there: dict[str, int] = defaultdict(int)
for path, file in json.load(sys.stdin)["files"].items():
    package = path.replace("\\", "/").partition("/")[0]
    taken[package] += file["summary"]["covered_branches"]
    there[package] += file["summary"]["num_branches"]
low = []
for package in sorted(there):
    share = 100 * taken[package] / there[package] if there[package] else 100.0
    print(f"branches of {package}: {share:.1f} %")
    if package in PACKAGES and share < FLOOR:
        low.append(package)
if low or not set(PACKAGES) <= set(there):
    sys.exit(f"fewer than {FLOOR:g} % of the branches of {', '.join(low) or 'a package that was not measured'}")
