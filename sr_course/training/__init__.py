"""Training: recipes, one loop for every network, checkpoints, the run log."""
