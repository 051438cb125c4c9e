"""What the units of a trained model do while it reads a text: measured, ranked, drawn."""
