"""The JSON of other people's APIs, written once and used in both directions. Knows no socket."""
