"""Train and explore character-level LSTMs in pure NumPy."""

__version__ = "0.1.0"
