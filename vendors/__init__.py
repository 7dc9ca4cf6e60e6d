"""Vendors: who they are, how to talk to them, and how far their record makes them worth trusting.

models       a vendor and its answers, as values; begin here
client       the calls; answers and bodies: what comes back, read into those values
guard        connections to addresses that were checked; names finds them, addresses decides
room         how much of answers is held at a time; withholding: our token taken out; text: cleaned
reliability  what a record is worth
errors       one family
"""
