"""The words all layers share: requests, jobs, results, names. Pure values; no torch, no web framework."""
