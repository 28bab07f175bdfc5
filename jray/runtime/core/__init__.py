"""The pure scheduler: facts in, orders out. No socket, process, thread, clock, random or user value in here."""
