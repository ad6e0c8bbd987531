"""The wizard: questions to a commented preset. Its logic is plain data and functions; two faces ask the same questions.

``flow`` is the order of the questions and going back, ``questions`` builds each from what was answered, ``around`` looks
at this machine (model files, pictures, cards, earlier runs), ``writing`` writes the result. Nothing here prints or draws.
"""
