"""An IPython shell in this process: run cells, see what they printed."""

from __future__ import annotations

import jray


class Shell:
    """Runs cells in an InteractiveShell as a user would, and gives back what came of it."""

    def __init__(self, shell, capsys):
        self.shell, self._capsys = shell, capsys
        self.said_so_far = ""  # to stderr, while cells ran

    def run(self, code):
        """Run a cell; what it printed. Errors are raised."""
        result = self.shell.run_cell(code, store_history=True)
        result.raise_error()
        streams = self._capsys.readouterr()
        self.said_so_far += streams.err
        return streams.out

    def complaint(self, code):
        """Run a cell that is refused; what it said."""
        result = self.shell.run_cell(code, store_history=True)
        streams = self._capsys.readouterr()
        assert not result.success, f"this was accepted: {code!r}; it printed {streams.out!r}"
        return streams.out + streams.err

    def said(self):
        """What was written to stderr since the last question."""
        said = self.said_so_far + self._capsys.readouterr().err
        self.said_so_far = ""
        return said

    def __getitem__(self, name):
        return self.shell.user_ns[name]

    def __setitem__(self, name, value):
        self.shell.user_ns[name] = value

    def __contains__(self, name):
        return name in self.shell.user_ns

    def get(self, name):
        return jray.get(self[name])

    def get_error(self, name):
        """What `jray.get` says of a failed reference."""
        try:
            jray.get(self[name])
        except jray.exceptions.JrayError as error:
            return str(error)
        raise AssertionError(f"{name} has not failed")
