"""The TCP ports of a stack on this machine."""

import random
import socket
from dataclasses import asdict, dataclass, fields

from cli.errors import CommandFailed

HOST = "127.0.0.1"
_BLOCK = 8
# Below what systems hand out to outgoing connections, so that nobody is given one while its owner restarts.
_FREE_BLOCKS = range(15_000, 32_000, _BLOCK)
_guards: list[socket.socket] = []


@dataclass(frozen=True)
class Ports:
    temporal: int = 7233
    ui: int = 8233
    exchange: int = 7250
    control: int = 7251
    temporal_http: int = 7243
    temporal_metrics: int = 7244

    @classmethod
    def free(cls) -> "Ports":
        """Ports nobody listens on, nor will who asks here too: the first of a block is held as long as we live, so that
        two programs that start their stacks at once are never given the same."""
        while True:
            guarded, *offered = range(start := random.choice(_FREE_BLOCKS), start + _BLOCK)
            guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                guard.bind((HOST, guarded))
            except OSError:
                guard.close()
                continue
            _guards.append(guard)
            if all(map(is_free, offered)):
                return cls(*offered[: len(fields(cls))])

    def check_free(self, options: dict[str, str]) -> None:
        """Raises CommandFailed that names all ports that are taken; `options` names the option that sets each."""
        taken = {name: port for name, port in asdict(self).items() if not is_free(port)}
        if taken:
            named = ", ".join(f"{port} ({name})" for name, port in taken.items())
            raise CommandFailed(
                f"{f'ports {named} are' if len(taken) > 1 else f'port {named} is'} taken, perhaps by another Temporal "
                f"server or another `hypertrader up`: stop that one, or choose others with "
                f"{', '.join(options[name] for name in taken)}"
            )


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
