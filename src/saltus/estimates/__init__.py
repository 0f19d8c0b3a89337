"""Means with honest intervals, resolution, multiplicity. Depends on NumPy and SciPy only."""
