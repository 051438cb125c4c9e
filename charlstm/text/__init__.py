"""From files to characters, to ids, to batches."""
