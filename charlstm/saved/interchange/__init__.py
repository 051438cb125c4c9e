"""Models in other programs' files, and from them."""
