"""Rules over the reports: what a calibration committee is asked to look at."""
