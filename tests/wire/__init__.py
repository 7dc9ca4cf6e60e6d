"""Purser over the wire: a real server, real processes, real time."""
