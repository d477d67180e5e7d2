"""From regions to radiomic features, models and scores. Depends on SubregionHabitatLib only."""
