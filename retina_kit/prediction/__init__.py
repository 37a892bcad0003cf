"""Apply trained networks to images of your own, and hand them on to other programs."""
