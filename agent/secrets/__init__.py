"""Secrets that are kept for others.

sealing         a secret as it may be stored in the database
vendor_secrets  the bearer token of a vendor, found where it is kept
"""
