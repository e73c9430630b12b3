"""Modescope: the singular modes of trained networks."""

__version__ = "0.1.0"
