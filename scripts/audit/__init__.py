"""What a run leaves behind, held against itself, the chain and the vendors; and as lines that others can check.

judge           all of it, for a run or an export; begin here
books, money    its sums, and the rules that payments and jobs keep; trail: what the trail says of them
export          the lines; exported reads them back, and retelling makes them anew from the trail
kept            what is there now against what was kept; heads: all runs in one hash
chain           payments against the chain; vendor_journal: against what mock vendors wrote
"""
