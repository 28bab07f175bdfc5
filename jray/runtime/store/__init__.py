"""The object store: arenas of shared memory, copy-on-write views, stored values."""
