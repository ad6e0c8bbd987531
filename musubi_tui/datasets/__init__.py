"""Datasets on a person's side: opening what they point at, and changing their files (captions, set-aside files, one key).

What is there is judged by ``engine.data``; here it is opened, told in words and mended. Nothing in this room deletes a file.
"""
