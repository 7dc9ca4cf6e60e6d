"""Vendors: who they are, how to talk to them, and how far their record makes them worth trusting."""
