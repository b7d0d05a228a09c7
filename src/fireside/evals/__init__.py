"""Measure a model, an engine or the whole of Fireside on tasks with known answers."""
