"""Kernels, recorded steps and layer swaps: everything works, slower, without them."""
