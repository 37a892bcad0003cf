"""One module a rival: each trains the same U-Net on the same pictures the way its own tutorial does."""
