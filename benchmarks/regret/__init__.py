"""Measurements of the regret layer; ``python -m benchmarks.regret`` writes them into docs/results/regret.md."""
