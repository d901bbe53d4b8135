"""Capacity: the highest rate per replica that keeps a condition, found on noisy runs, with an interval."""
