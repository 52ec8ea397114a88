"""The command line. ``raylab.cli.table`` lists the commands; each is a module of ``raylab.cli.commands``, loaded when it is called."""

from raylab.cli.application import main

__all__ = ["main"]
