"""Talking to strangers.

addresses    which addresses may be called; begin here. names finds them, guard connects to no others
hosts        hosts compared as hosts, and not as they are spelled
"""
