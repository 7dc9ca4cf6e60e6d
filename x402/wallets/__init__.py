"""Who signs: a key in this process (`signers`), out of a keystore file (`keystore`), one at Coinbase (`cdp`)."""
