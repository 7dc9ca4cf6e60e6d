"""A purchase from the command line, without a server: journal first.

buy      one request, paid for; begin here
rules    its decisions, without I/O
journal  what was signed, on disk before anything is sent
values   what is asked and answered; view: what is printed of it
"""
