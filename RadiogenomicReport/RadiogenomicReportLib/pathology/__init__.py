"""Tables of cells and tiles to one row per patient."""
