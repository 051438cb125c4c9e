"""One training: a step, the loop, the run."""
