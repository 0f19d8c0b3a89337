"""Smooth and broken curves and their fits. Depends on NumPy and SciPy only."""
