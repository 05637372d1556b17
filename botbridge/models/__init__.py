"""The models on this machine's disk, and how they get there."""
