"""Plugins that ship with Frontdesk; they enter by the same door as anyone's."""
