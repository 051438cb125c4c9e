"""Models and runs on disk, in our format and in others'."""
