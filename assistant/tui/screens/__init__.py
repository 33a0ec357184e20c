"""The screens: the conversation, the search, the help and a question with two answers."""
