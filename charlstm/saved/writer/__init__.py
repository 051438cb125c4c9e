"""A page that writes: a model and the arithmetic that runs it, in one HTML file."""
