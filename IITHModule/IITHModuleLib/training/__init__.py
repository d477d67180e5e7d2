"""Fitting a score by a written protocol and describing it honestly. Nothing heavy is imported here."""
