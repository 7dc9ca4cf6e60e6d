"""The function in the runtimes that platforms put around it: `make test-platforms`."""
