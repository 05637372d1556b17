"""The peer: llama.cpp's own HTTP server, out of a ready-made wheel, in a process of its own.

python -m benchmarks.peer_server GGUF SLOTS CONTEXT_TOKENS

prints its address and serves until its standard input ends.
"""

from __future__ import annotations

import sys

import xllamacpp

from botbridge.resources import usable_cores


def main() -> None:
    """Serve a model to as many people at once as there are slots, each with the whole context."""
    path, slots, context_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = slots
    params.n_ctx = slots * context_tokens
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = usable_cores()
    params.port = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
