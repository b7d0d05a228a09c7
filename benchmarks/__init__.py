"""What Fireside measures about itself. `make bench` runs all; `python -m benchmarks NAME ...` some."""
