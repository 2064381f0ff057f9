"""The whole gateway in one process, on a simulated world, a pure function of a seed."""
