"""The model behind one process boundary: `client` on this side, `worker` and its engines on the other."""
