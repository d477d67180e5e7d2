"""What panel and Logic of the module do with Slicer's windows, views and scene; only module files import it."""
