"""`python -m tests.sim`: thousands of random schedules, on all cores, until one fails or all have held.

python -m tests.sim --seeds 10000               seeds 0 to 9999
python -m tests.sim --from 12345 --seeds 1 --trace    one schedule, step by step
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter

from tests.sim.many import play_many
from tests.sim.random_runs import play, shortest
from tests.sim.table import table


def main() -> int:
    """Play the schedules that the command line asks for. 1: one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Random schedules of a whole Purser.")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many schedules")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--trace", action="store_true", help="show each step of each schedule")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.trace:
        return _show(seeds)
    return _play_all(seeds, asked.processes)


def _show(seeds: range) -> int:
    for seed in seeds:
        schedule = play(seed)
        sys.stdout.write("\n".join(schedule.trace))
        sys.stdout.write(f"\nseed {seed}: {schedule.reason or 'holds'}; trace {schedule.fingerprint[:16]}\n")
        if schedule.reason:
            return 1
    return 0


def _play_all(seeds: range, processes: int) -> int:
    began, done, counts = time.monotonic(), 0, Counter[str]()
    failing: int | None = None
    batches = play_many(seeds, processes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop, by whomever: say what was done
    try:
        for held, met, failing in batches:
            done += held
            counts += met
            if failing is not None:
                break
    except KeyboardInterrupt:
        sys.stdout.write("\nstopped\n")
    batches.close()
    sys.stdout.write(table(done, counts, time.monotonic() - began))
    if failing is None:
        return 0
    sys.stdout.write(f"seed {failing} fails; looking for its shortest failing prefix ...\n")
    sys.stdout.write(f"{shortest(play(failing))}\nreplay: make sim SEEDS=1 FROM={failing} TRACE=--trace\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
