"""What many runs cost: commands and bytes per tick, ticks per second, the queue of a million (docs/scale.md)."""
