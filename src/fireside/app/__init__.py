"""The only place that builds parts and reads settings."""
