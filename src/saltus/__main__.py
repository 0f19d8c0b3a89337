"""`python -m saltus` is `saltus`."""

from saltus.cli import main

if __name__ == "__main__":
    main(prog_name="saltus")
