"""Pages: one HTML file each, which holds all it needs and asks the network for nothing."""
