"""Pages that react without a kernel: the state of a widget travels in the notebook, a small script shows it."""
