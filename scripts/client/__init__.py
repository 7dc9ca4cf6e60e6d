"""A client of Purser's API: its connection, its calls, its answers and its errors."""
