"""Finished runs next to one another: what differs between two of them, and one setting swept over several values."""
