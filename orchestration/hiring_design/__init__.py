"""Hiring design as data: rubrics and the scales their ratings are read by."""
