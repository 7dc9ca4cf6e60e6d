"""Which run is next.

rounds  tick whatever is due, for so long; begin here
turns   a page of what is due in which each user has a turn
"""
