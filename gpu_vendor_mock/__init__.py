"""A vendor to rent from: real x402, simulated GPUs, injectable faults.

Run it with `python -m gpu_vendor_mock`.

    app          the HTTP face; begin here. reading: requests; answer: answers; framing, dropping: connections
    shop         selling GPU time: orders, their payment (till), and jobs that follow a training
    settling     where payments settle; facilitator: one to sell through
    faults       failures on demand
    journal      what happened, for others to check
    catalog      who is played; dollars: amounts
    server       how it listens, by its settings; errors: what senders are told
"""
