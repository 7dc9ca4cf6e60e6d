"""Programs around the server: the command, what serves, what checks and draws.

cli          the `purser` command; begin here. exits: its exit codes
client       the API's calls and answers; view: what people see of them; watch: a run followed to its end
pay          a purchase without a server; wallets: whose money it is; http_client: who is talked to
audit        what a run leaves behind, checked
serve        as a server, as a function, as a worker; seed: vendors to begin with
demo         the whole path on servers of its own
x402_tools   for those who debug an integration
build        what is made of the sources
"""
