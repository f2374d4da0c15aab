"""What the user wrote, typed and checked."""
