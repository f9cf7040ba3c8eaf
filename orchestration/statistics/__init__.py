"""Estimators: arrays in, arrays out; no frame, file, clock or log."""
