"""Training and evaluation (torch). Imports ``sdk``; never ``export`` or ``demo``."""
