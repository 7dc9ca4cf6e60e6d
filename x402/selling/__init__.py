"""Being paid.

seller        asks for money and collects it through a facilitator; begin here
facilitator   who checks a payment and moves the money: the port, and what every one checks
remote        a facilitator over HTTP; desk: being one; offline: one for tests, that moves nothing
settlements   what a seller remembers; settlements_sqlite, settlements_mongo: where many processes share it
idempotency   the payment-identifier extension
"""
