"""The kind of run that rents GPUs.

kind     what the engine calls; begin here
decide   ask the planner, check what it proposes, carry it out
planner  proposes: a model, or the deterministic one
quoting  a job as it is drawn up, and what a vendor's quote is held against; buying: from there to its order
polling  how live jobs do
"""
