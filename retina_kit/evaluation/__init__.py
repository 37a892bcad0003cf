"""From predictions to scores, intervals over patients, and verdicts on claims."""
