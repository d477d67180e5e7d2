"""Patient tables: read, recognized or mapped, checked, joined."""
