"""Mode 3, the Data screen: buckets, items, the picture with its crop, captions, and what is wrong with a way to mend it.

``screen`` holds the panels together, ``text`` makes facts into lines, ``choosing`` says which rows are shown, ``painter`` decodes pictures
on a thread, ``opening`` asks for a dataset, ``fixing`` for fixes. Scanning is a process of its own (``musubi_tui.datasets.scanning``).
"""

from musubi_tui.tui.screens.data.screen import DataScreen as DataScreen
