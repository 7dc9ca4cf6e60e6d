"""The function in Vercel's own Python runtime: `make test-vercel`."""
