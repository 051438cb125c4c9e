"""The commands, one file each: parse, call, print.

These files import nothing heavy at the top, so that ``--help`` answers at once; NumPy and the
modules that need it are imported inside the commands.
"""
