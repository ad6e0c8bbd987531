"""Presets on disk: the library of shipped and own ones, and edits that leave everything else as it was written.

``library`` lists and finds without importing the schema; ``editing``, ``comparing`` and the checks import it when they run.
"""
