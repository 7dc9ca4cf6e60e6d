"""The x402 payment protocol, versions 1 and 2, scheme `exact` on EVM chains (EIP-3009).

    wire         the messages as frozen values, and their strict codec
    policy       which offer of a challenge may be paid
    negotiation  the exchange without I/O: challenge in, payment out, receipt in
    client       the exchange as an `httpx.Auth`
    seller       the other side of it: terms out, payment in; `settlements` is what it remembers
    facilitator  verify and settle; `offline` against a ledger, `remote` over HTTP

Nothing here knows what is bought. Importing the package loads none of its modules.
"""
