"""The command line: ``erpose-edge COMMAND``. One module a command; it parses, calls and prints.

How a command is written, so that ``cli/app.py`` can load it when it is called and not before:

* The module ``cli/<name>.py`` holds one function called ``command`` with a typer signature:
  ``cfg: Annotated[str, typer.Option(help="...")] = "n.yaml"``. The option types must be importable
  at run time (``Path``, ``str``, ``list[str]``...), not only under ``TYPE_CHECKING``.
* The first line of its docstring is its help; the same line stands in ``COMMANDS`` of
  ``cli/app.py``, which prints it without importing the module (a test holds the two together).
* A command that has sub-commands has ``command: typer.Typer`` instead of a function.
* At the top the module imports typer, the standard library and light modules of this package only;
  torch, an engine or cv2 is imported inside the function.
* It raises errors of ``erpose_edge.errors``: the app prints them as one line and returns their exit
  code. A verdict is returned with ``raise typer.Exit(code)``.
* Results go to stdout, everything else to stderr: ``output.console`` (tables and text, on stdout),
  ``output.messages`` (notes and progress, on stderr), ``output.emit_json(document)`` (the one JSON
  document of ``--json``; nothing else then goes to stdout), ``output.progress(...)``.
"""
