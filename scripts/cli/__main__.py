"""`python -m scripts.cli`: the `purser` command."""

from scripts.cli.tree import main

main()
