"""How often the graders err: hand-written pairs, real gold answers, fuzzed text."""
