"""How it runs: as a server, as a function, as a worker.

api              `purser serve`; bounded_protocol: what strangers may take of a server
lambda_handler   the function on AWS; Vercel's is api/index.py
worker           `purser worker`: ticks what is due
dev              `purser dev`: the API and vendors, started again when a file changes
servers          starts servers as processes of their own; child ends one with whoever started it
complete         whether the settings suffice to serve; healthy: whether a server answers
"""
