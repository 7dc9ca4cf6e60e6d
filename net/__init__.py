"""Talking to strangers.

addresses    which addresses may be called; begin here. names finds them, guard connects to no others
strict_json  JSON without two meanings; retry_after: what such a header asks for; tls: how servers are verified
hosts        hosts compared as hosts, and not as they are spelled
"""
