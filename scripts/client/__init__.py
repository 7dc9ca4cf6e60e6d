"""A client of Purser's API.

api       its connection, and the calls for runs; begin here
registry  the calls for vendors; keys: for API keys
shapes    the answers, checked at the edge; errors: what is raised
"""
