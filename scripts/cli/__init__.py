"""The `purser` command: what is typed, and what it exits with."""
