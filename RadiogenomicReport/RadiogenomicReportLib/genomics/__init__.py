"""Genomic files to one row per sample."""
