"""What a run leaves behind, held against itself, the chain and the vendors; and as lines that others can check."""
