"""``python -m fireside.training.embedding``."""

from fireside.training.embedding.build import main

if __name__ == "__main__":
    raise SystemExit(main())
