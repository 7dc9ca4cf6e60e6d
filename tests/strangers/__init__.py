"""Suites that nobody of the project wrote, run against Purser: `make strangers`.

Each suite lives in an environment of its own (`requirements/`, pinned with hashes). What runs there, with the
stranger's package, is in `theirs/`; everything else here is ours. Results are held against `kept.toml`, in which
every accepted difference has its reason. Begin with `__main__`.
"""
