"""Layers: how their work is cut, and how a call of theirs is carried out."""
