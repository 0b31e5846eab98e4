"""Push a bundle to devices over ssh, and roll back.

``push.push_release`` and ``push.rollback`` serve one host, ``fleet.push_fleet`` many; ``hosts``
reads how hosts are written. ``board.py`` is all that runs there besides the bundle's own code: it
is sent as text, and needs nothing but the board's python3.

On the board::

    PATH/releases/<release id>/       complete; a name with a dot is being made or removed
    PATH/current                      link to the release that serves, switched by one rename
    PATH/history                      releases that served, one a line, the newest last
    PATH/incoming/<sha256>.tar.part   an upload, which the next push goes on with
    PATH/.lock, PATH/.work            locks: of the push, and of its commands there
"""
