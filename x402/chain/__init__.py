"""What an EVM chain shows, and how a payment gets onto one.

ports        what is asked of a chain, and its answers; begin here
rpc          JSON-RPC over HTTP, each answer held to its form; urls: where nodes are
reader       blocks, balances, the fate of an authorization; logs and search find the transfer
purse        what a wallet holds
facilitator  a facilitator that settles by itself; relayer sends its transactions
"""
