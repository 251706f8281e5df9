"""Real processes killed and stopped under load, and what must hold afterwards: `make chaos SEED=1 JOBS=200`."""
