"""Runs seen from outside: where they live, how they are started, found, read and steered. Nothing here computes.

``home`` says where; ``creating`` makes a run directory; ``launching`` starts the engine on it; ``finding`` lists runs and
resolves what people type; ``snapshot`` folds a run's files into what a screen shows.
"""
