"""The app in a browser: a small web server on this machine's loopback address, one app process per open page.

``gate`` decides who is let in, ``page`` is what the browser gets first, ``session`` is the app behind one page, ``server`` puts
them together. The terminal that the browser draws is textual-serve's (an optional extra); its server is not used, since it
lets any page of any site connect. Nothing here is imported before ``musubi-tui serve``.
"""
