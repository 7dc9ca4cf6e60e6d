"""A purchase from the command line, without a server: journal first."""
