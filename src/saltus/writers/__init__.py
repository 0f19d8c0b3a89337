"""Tables to the files of other tools: only what was read, never what was judged."""
