"""What the panel of the module does with Slicer's windows and views; only the module files import it."""
