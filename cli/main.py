"""The `hypertrader` command.

Expected failures are one line on stderr and exit code 1, bad options exit code 2; a traceback is a bug of ours.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, Exit, TyperException

from cli.errors import BadOption, CommandFailed

COMMANDS = {
    "up": "cli.up",
    "demo": "cli.demo",
    "trade": "cli.answer_commands",
    "plan": "cli.plan_trading",
    "portfolio": "cli.portfolio_acts",
    "stop-all": "cli.stop_all",
    "drill": "cli.drill",
    "exchange": "cli.exchange_commands",
    "backtest": "cli.backtest",
    "optimise": "cli.optimise",
    "compare": "cli.compare",
    "explain": "cli.explain",
    "worker": "cli.process_commands",
    "feed": "cli.feed",
    "simulator": "cli.process_commands",
    "doctor": "cli.doctor",
    "codec": "cli.codec",
    "backup": "cli.backup",
    "restore": "cli.backup",
    "recover": "cli.recover",
}
"""Where each is. Only the one asked for is loaded: all of them take seconds and 100 MB."""
EXPECTED = {
    "connection": "TemporalUnreachable",
    "encryption": "EncryptionError",
    "exchange.errors": "ExchangeError",
    "exchange.network": "SetupRefused",
    "feed.subscription": "FeedError",
    "journal.errors": "JournalError",
    "plans.files": "BadPlanError",
    "simulator.prices": "PriceSourceError",
    "simulator.store": "StateInUse",
    "temporalio.service": "RPCError",
}
"""Failures a person can do something about. Of a module that was never loaded there can't be one."""
GLOBAL_OPTIONS = ("--network", "--state-dir", "--temporal", "--trace-file")
INTERRUPTED = 130


def configure(
    network: Annotated[str | None, typer.Option(help="paper (default), testnet or mainnet.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="The folder of everything kept; default .hypertrader.")] = None,
    temporal: Annotated[str | None, typer.Option(help="Temporal's address; default 127.0.0.1:7233.")] = None,
    trace_file: Annotated[Path | None, typer.Option(help="Append OpenTelemetry spans to this file.")] = None,
    verbose: Annotated[bool, typer.Option("-v", help="Log more.")] = False,
) -> None:
    """These stand before or after the command. Each is the environment's HYPERTRADER_... of this command and of every
    process it starts."""
    given = {
        "NETWORK": network,
        "STATE_DIR": state_dir,
        "TEMPORAL_ADDRESS": temporal,
        "TRACE_FILE": trace_file,
        "LOG_LEVEL": "DEBUG" if verbose else None,
    }
    os.environ.update({f"HYPERTRADER_{name}": str(value) for name, value in given.items() if value is not None})


def build(words: Sequence[str]) -> typer.Typer:
    """The application with the command that `words` name; with all of them when they name none."""
    app = typer.Typer(
        help="Hedged perpetuals positions on Hyperliquid as durable Temporal workflows.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(configure)
    named = {COMMANDS[word] for word in words[:1] if word in COMMANDS}
    for module in named or dict.fromkeys(COMMANDS.values()):
        importlib.import_module(module).register(app)
    return app


def main() -> None:
    """Runs the command and ends the process."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's native threads sometimes abort the interpreter while it is taken down: sdk-python issue 300.
    os._exit(code)


def run(argv: Sequence[str]) -> int:
    """The exit code; everything said is on stdout and stderr."""
    try:
        front, words = hoisted(argv)
        answer = build(words)(args=[*front, *words], prog_name="hypertrader", standalone_mode=False)
    except BadOption as error:
        return _fail(error, 2)
    except CommandFailed as error:
        return _fail(error, 1)
    except Exit as error:
        return error.exit_code
    except TyperException as error:
        if not error.format_message():
            return 2  # Help was shown in place of a message.
        return _fail(error.format_message(), error.exit_code)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _expected() as error:
        return _fail(error, 1)
    return answer if isinstance(answer, int) else 0


def hoisted(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Global options, wherever they were written, and the words that are left: the command first."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word in GLOBAL_OPTIONS:
            front += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word == "-v" or word.split("=")[0] in GLOBAL_OPTIONS:
            front.append(word)
        else:
            rest.append(word)
    return front, rest


def _expected() -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[module], name) for module, name in EXPECTED.items() if module in sys.modules)


def _fail(error: object, code: int) -> int:
    typer.echo(f"error: {' '.join(str(error).split())}", err=True)
    return code


if __name__ == "__main__":
    main()
