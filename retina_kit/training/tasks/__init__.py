"""The tasks a network can be trained for."""
