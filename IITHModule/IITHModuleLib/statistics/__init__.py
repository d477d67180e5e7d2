"""Discrimination and calibration of scores, with confidence intervals. Nothing heavy is imported here."""
