"""What runs in a worker's process. Loads neither scheduler nor engine."""
