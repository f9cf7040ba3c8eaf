"""Vendors' services on loopback, with the behaviours that their clients must stand."""
