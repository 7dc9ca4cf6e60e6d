"""How fast Purser's x402 is beside the official Python SDK, and beside what nobody can do without: `make bench`.

Every contestant is a process of its own that is told by JSON lines what to do next, so that they take turns on one
machine within one run. `python/` holds the SDK's side; it runs where `x402` is the SDK.
"""
