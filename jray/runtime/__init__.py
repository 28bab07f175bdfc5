"""The runtime: knows nothing of Jupyter."""
