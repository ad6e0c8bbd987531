"""The wizard: questions to a commented preset. Its logic is plain data and functions; two faces ask the same questions.

``flow`` is the order of the questions and going back; ``questions`` (with ``model_page`` and ``data_page``) builds each from what
was answered; ``around`` looks at this machine (model files, pictures, cards, earlier runs); ``fitting`` plans; ``writing`` writes the
result; ``session`` is one walk through all of it. Nothing here prints or draws.
"""
