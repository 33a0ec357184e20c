"""Small widgets, one a file; none of them knows the history or a model."""
