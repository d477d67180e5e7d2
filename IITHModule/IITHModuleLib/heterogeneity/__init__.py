"""Heterogeneity over patients: reader agreement, the heterogeneity index (IITH) and delta phenotypes."""
