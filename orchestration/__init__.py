"""Calibrant: a data pipeline for hiring."""
