"""From weights to a verdict: target profiles, export in their precision order, budget."""
