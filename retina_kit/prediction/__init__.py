"""Apply trained networks to images of your own, and hand them on to other programs."""

LIMITS = "For teaching and research, not for clinical use."
