"""Where documents live. Nothing outside this package touches MongoDB or its stand-in."""
