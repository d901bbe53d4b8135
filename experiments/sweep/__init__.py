"""Sweeps: grids of studies whose cells run anywhere, are kept one by one, and are never run twice."""
