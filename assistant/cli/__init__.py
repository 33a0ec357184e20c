"""The command line. Modules here import heavy libraries only inside functions."""
