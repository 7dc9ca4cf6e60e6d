"""What a run is and what may change in it. Pure: no I/O, no clock of its own.

models     the documents: run, job, payment, observation; begin here
lifecycle  which status and phase may follow which
ledger     the six movements of money in a run; booking: money, job and trail together
jobs       what becomes of a job by what its vendor reports; resting: vendors that could not be reached
limits     what is allowed beyond a run's budget; api_key: what a key is and may do
audit      the trail, chained by hash
clocks     whether our clock can be right
money      amounts in micro-dollars; errors: one family
"""
