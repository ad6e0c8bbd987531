"""Pictures and clips from a model: one sampler for previews and generation.

``prompts`` reads prompt files (no torch), ``schedule`` says when previews are due (no torch), ``solvers`` integrates the
flow, ``sampler`` draws the noise and guides, ``writers`` makes PNG and MP4 files, ``preview`` ties them to a training run.
"""
