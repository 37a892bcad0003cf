"""From scored rows to tables, figures, executed notebooks and pages."""
