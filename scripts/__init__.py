"""Command-line scripts of the project."""
