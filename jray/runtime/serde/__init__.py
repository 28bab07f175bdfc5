"""Values, code and errors to bytes and back."""
