"""What Wan's text encoder is given for a caption. It knows no torch: whoever counts tokens counts the same text."""

from __future__ import annotations

import html
import re


def clean(caption: str) -> str:
    """Repair broken Unicode and HTML entities, and collapse white space: what Wan's text encoder was trained on."""
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(caption)))
    return re.sub(r"\s+", " ", repaired).strip()
