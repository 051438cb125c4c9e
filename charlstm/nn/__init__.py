"""The layers: plain ints and arrays in, plain arrays out; forward and backward side by side."""
