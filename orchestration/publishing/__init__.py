"""Generations, zones and sites: what leaves the warehouse, and how."""
