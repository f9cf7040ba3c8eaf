"""The wiring: the only code that imports Dagster."""
