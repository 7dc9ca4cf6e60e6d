"""The `purser` command: what is typed, and what it exits with.

tree      the command with all its parts; begin here
runs      start, tick, watch, status, cancel, runs
pay       a curl that pays
local     demo, dev, serve, worker; store: init
vendors, keys, wallet, audit, x402: the commands of these groups
session   client, output and errors, which all share; options: what several take
"""
