"""Models as pictures meet them: what is done before a network runs, tile by tile, and after it."""
