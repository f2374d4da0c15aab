"""What a stage can call."""
