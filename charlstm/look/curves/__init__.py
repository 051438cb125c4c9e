"""Runs in pictures and beside each other: curves, a table of several, a page of one."""
