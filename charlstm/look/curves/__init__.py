"""A run on one page: curves, settings, samples, vocabulary, environment."""
