"""What each choice of the design is worth: recorded questions replayed under other settings, one choice at a time."""
