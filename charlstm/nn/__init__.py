"""The network and the rules that change it: plain numbers and arrays, forward and backward."""
