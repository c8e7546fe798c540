"""The work of ``doctor`` and ``uninstall``."""
