"""The terminal, as a third platform."""
