"""Carry runs out: plan them, execute them, store them, and show their progress."""
