"""Who signs: a key in this process (`signers`), unlocked from a keystore file (`keystore`), or at Coinbase (`cdp`)."""
