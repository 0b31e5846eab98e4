"""On the workstation: make a bundle, pack it as one file, sign it."""
