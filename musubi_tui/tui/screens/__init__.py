"""One file per screen, its stylesheet beside it. A screen is imported when it is first opened."""
