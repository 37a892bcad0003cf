"""The static site: README, executed notebooks, course, documentation, and the reference of the library."""
