"""Trains the small text-to-image model that ships with Easel as its demo."""
