"""The TCP ports of a stack on this machine."""

import random
import socket
from dataclasses import asdict, dataclass, fields

from cli.errors import CommandFailed

HOST = "127.0.0.1"
# Below what systems hand out to outgoing connections, so that nobody is given one while its owner restarts.
_FREE_RANGE = range(15_000, 32_000)


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
        """Ports nobody listens on now."""
        found: list[int] = []
        while len(found) < len(fields(cls)):
            port = random.choice(_FREE_RANGE)
            if port not in found and is_free(port):
                found.append(port)
        return cls(*found)

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
