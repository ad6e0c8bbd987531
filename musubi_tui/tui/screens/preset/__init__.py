"""The preset editor. ``screen`` is the mode; ``frame`` draws, ``editing`` changes values, ``checking`` works beside the keys,
``filing`` knows the files; ``panels`` are lines as pure functions. Presets themselves are the business of ``musubi_tui.presets``.
"""
