"""One module per command of ``vin-batch``.

A command module offers ``add_parser(subparsers)`` and ``execute(args) -> ExitCode``. Its
top level imports nothing heavy: TensorFlow, pandas, pyarrow and OpenCV come inside
``execute``, so that ``--help`` and ``status`` answer at once.
"""
