"""One tick of any run, and the money protocol. It knows no kind of work.

tick      what a tick does, in order; begin here
services  what it works with, and the port behind which a kind of work stands (`Kind`)
leased    the run under this tick's lease, and the only way to write it; step: what a tick came to
purchase  ask, sign, store, send: from a reservation to its settlement
stopping  why no money may move now; spending: limits that span runs; watching: what a chain shows
restored  a database that was restored from a backup is held until its operator has spoken
ending    how a run ends
"""
