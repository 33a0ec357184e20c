"""Bring an open model with Llama layout into a checkpoint of ours."""
