"""`python -m retina_kit` is the command line."""

from retina_kit.cli import main

main()
