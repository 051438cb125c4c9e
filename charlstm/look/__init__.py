"""Looking at what was learned: the score of a text, curves, gradients, cells."""
