"""`%%remote`, `%remote` and `%jray`: parse, call, show."""
