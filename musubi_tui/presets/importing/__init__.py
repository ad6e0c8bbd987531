"""Configs of other trainers become presets, with a word on every single key: kept, changed, without effect here, or lost.

``recognise`` tells which trainer wrote a text, one module per trainer says what its keys mean here, ``account`` sees to it that
no key is passed over, ``preset_text`` writes the preset. No Textual, no torch, and nothing is written to disk here.
"""
