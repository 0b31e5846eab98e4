"""On the device: what this machine is, and what it does while it is measured.

Everything is read from files below a root, which tests replace; the standard library is enough.
"""
