"""Get data sets onto the disk: fetch, import, convert, and build your own; only the command line needs it."""
