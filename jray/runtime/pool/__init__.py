"""Worker processes, seen from the kernel."""
