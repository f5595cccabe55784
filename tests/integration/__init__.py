"""Several parts together, through their public doors."""
