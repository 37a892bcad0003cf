"""From predictions to scores, intervals over patients and seeds, and verdicts on claims."""
