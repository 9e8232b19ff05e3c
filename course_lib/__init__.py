"""The library of the course. Everything in it is exported from the notebooks in nbs/."""

__version__ = "0.1.0"
