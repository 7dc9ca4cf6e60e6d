"""Who may: the holders of API keys, counted over all instances (`turnstile`)."""
