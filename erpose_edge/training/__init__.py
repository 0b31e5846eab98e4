"""Training: assignment, losses, schedule, loop, resume, several processes."""
