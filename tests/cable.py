"""A way to a server on this machine that can be cut, or fall silent."""

import socket
import threading
from contextlib import suppress


class Cable:
    """Passes TCP on to a port while it is not pulled.

    :param port: may be set later, as ``target``, where the server has to know our port first.
    """

    def __init__(self, port: int = 0) -> None:
        self.target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._dead: set[socket.socket] = set()
        self.pulled = self._silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.pulled:
                near.close()
                continue
            if self._silent:
                self._open.append(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                # The server has ended already; a page may still ask.
                near.close()
                continue
            self._open += near, far
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source not in self._dead:
                    sink.sendall(data)
        except OSError:
            pass

    def pull(self) -> None:
        self.pulled = True
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def silence(self) -> None:
        """Let nothing through any more and tell nobody, as a network does that is gone.

        What was open, or is opened meanwhile, stays dead when the cable is mended.
        """
        self._silent = True
        self._dead.update(self._open)

    def mend(self) -> None:
        self.pulled = self._silent = False

    def close(self) -> None:
        self.pull()
        # It wakes the thread that accepts, which would wait for ever.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
