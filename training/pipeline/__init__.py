"""All stages in one command: the tutorial, and the proof that they fit together."""
