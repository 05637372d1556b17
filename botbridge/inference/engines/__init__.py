"""The engines that compute answers; each runs in the worker process only."""
