"""Written answers that are found before a question is asked: the model reads, then answers.

A model of this size speaks well but knows little; what it should know stands in the handbook.
"""
