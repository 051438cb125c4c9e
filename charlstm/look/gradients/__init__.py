"""The backward pass in numbers: a reference to read, traces, and the check by differences."""
