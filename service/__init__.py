"""What happens: queue, catalogue, files, history, preferences. No torch, no web framework."""
