"""What the papers report: published values, comparison tables, and an audit of the numbers."""
