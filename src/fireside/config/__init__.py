"""Where settings, files and secrets live: layers of TOML, environment and command line. Knows no part by name."""
