"""The full-screen app: a reader of run directories that steers by control files. Importing it imports no Textual.

``app`` holds the application; ``screens`` has one file and one stylesheet per screen; ``widgets`` what several screens share.
What is shown is gathered on a thread (``runs_reader``) into frozen values; a screen repaints only the cells that changed.
"""
