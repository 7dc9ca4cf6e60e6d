"""Who signs, and which chains can be read.

opening  the wallet that the settings name; begin here
wallet   signs an authorization, with a nonce that its job fixes
chains   the chains that the settings name
"""
