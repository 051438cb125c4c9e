"""What a trained model writes, and what may be asked of it."""
