"""``python -m fireside`` is the command ``fireside``."""

from fireside.cli.main import main

if __name__ == "__main__":
    main()
