"""A vendor to rent from: real x402, simulated GPUs, injectable faults.

Run it with `python -m gpu_vendor_mock`.
"""
