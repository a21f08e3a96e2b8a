"""Apiary: every user brings their own model."""
