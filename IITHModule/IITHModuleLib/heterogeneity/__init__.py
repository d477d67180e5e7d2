"""Heterogeneity across patients: reader agreement, the heterogeneity index (IITH) and delta phenotypes; numpy,
scipy."""
