"""The embedding that comes with Fireside: how it is made."""
