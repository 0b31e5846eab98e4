"""What an artifact is worth on this device: accuracy, latency, and the verdict against a budget.

Needs metrics, runtime, numpy and cv2 only, so that it runs where the artifact runs.
"""
