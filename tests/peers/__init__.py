"""Two stories of a lost payment, with Purser and with the official x402 client: `make peers-lose-money`."""
