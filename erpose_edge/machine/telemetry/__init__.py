"""What the machine does while something is measured on it: power, heat, clocks and load."""
