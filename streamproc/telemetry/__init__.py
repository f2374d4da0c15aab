"""What a run says of itself, on stderr."""
