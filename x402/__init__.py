"""The x402 payment protocol, versions 1 and 2, scheme `exact` on EVM chains (EIP-3009).

    wire         the messages as frozen values; begin here. decode reads them, codec is their base64 and JSON
    negotiation  the exchange without I/O: challenge in, payment out, receipt in
    client       the exchange as an `httpx.Auth`
    policy       which offer of a challenge may be paid: networks, hosts, and the payer's money (purse)
    eip3009      what is signed; keccak and secp256k1: with what
    failures     why a payment is refused; errors: one family

    wallets      who signs
    selling      being paid
    chain        what an EVM chain shows, and how a payment gets onto one

Nothing here knows what is bought. Importing the package loads none of its modules.
"""
