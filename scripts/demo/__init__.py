"""The whole path on servers of its own, with an offline facilitator or on a chain."""
