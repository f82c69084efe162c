"""One file a runtime, imported only when used. A backend has ``run(batch)``, ``device`` and ``name``."""
