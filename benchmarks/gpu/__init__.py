"""What a lent GPU is used for, in pieces that each end in time."""
