"""hostile-facilitator's battery over a command that makes one purchase and writes how it went into a file.

Three modes at a time: most of a purchase is waiting.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from hostile_facilitator.adapter import ALL_MODES, run_client_command

told = json.loads(sys.stdin.readline())


def purchase(mode):
    with TemporaryDirectory() as there:
        diary = Path(there, "diary")
        row = run_client_command(
            [*told["command"], str(diary)],
            mode=mode,
            client_timeout_s=told["client_seconds"],
            run_timeout_s=told["seconds"],
        )
        ended = diary.read_text() if diary.exists() else "nothing: the purchase broke off"
    verdict = row.get("error") or row["verdict"]
    detail = f"{row['distinct']} settled, {row.get('settle_calls')} asked for, {row.get('reconcile_calls')} looks"
    once = "pass" if row["distinct"] == 1 else f"{row['distinct']} settlements"
    expected = told["ends"][mode]
    return [
        [f"{mode}: verdict", verdict, detail],
        [f"{mode}: one settlement", once, detail],
        [f"{mode}: ends {expected}", "pass" if ended == expected else ended, detail],
    ]


with ThreadPoolExecutor(3) as pool:
    results = [result for three in pool.map(purchase, ALL_MODES) for result in three]
print(json.dumps({"done": {"results": results}}))
