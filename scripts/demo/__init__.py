"""The whole path on servers of its own, with an offline facilitator or on a chain.

run           `make demo`; begin here. picture: the README's picture of it
chain         `make demo-chain`, on a local_chain, which anvil runs
"""
