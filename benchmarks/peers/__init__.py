"""One module per framework: each trains the same U-Net on the same images the way its own tutorial does."""
