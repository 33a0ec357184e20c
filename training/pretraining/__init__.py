"""Stage 3: a foundation model from unlabelled text."""
