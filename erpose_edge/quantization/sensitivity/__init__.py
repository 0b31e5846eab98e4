"""What each layer loses in int8, and the search for a policy that keeps the accuracy."""
