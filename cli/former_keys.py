"""What `hypertrader doctor` says of former keys: who still signs by one, and whose key is missing."""

from collections.abc import Sequence

from temporalio.client import Client

from activities.messages import TRADE
from cli.errors import CommandFailed
from exchange.network import load_keys
from feed.former_keys import SILENT, signing, stranded
from settings import Settings


async def who_needs_them(settings: Settings, client: Client) -> str:
    """Raises CommandFailed("text -> cure") where trades stand still for want of a key, RPCError, SetupRefused."""
    signers = [key.address for key in load_keys(settings)]
    account = settings.account or signers[0]
    if lost := await stranded(client, account, signers):
        text = "; ".join(f"{', '.join(ids)}: signed by {signer}, whose key is not here" for signer, ids in lost.items())
        raise CommandFailed(
            f"{text}: nobody serves them -> append that key as a further line to the private keys (its address, if "
            "it is lost), and restart the worker: docs/operating.md, Another private key"
        )
    if len(signers) == 1:
        return "there is none"
    found = await signing(client, account, signers)
    if silent := found.get(SILENT):
        raise CommandFailed(
            f"{', '.join(silent)} did not answer by whose key -> see that the worker runs, and try again"
        )
    return "; ".join(_words(each, found.get(each, ())) for each in signers[1:])


def _words(signer: str, ids: Sequence[str]) -> str:
    if not ids:
        return f"{signer} is a former key: nothing has it any more, its line can be removed"
    trades = sum(each.startswith(TRADE) for each in ids)
    counted = [f"{trades} trade{'s' if trades > 1 else ''}"] if trades else []
    named = [*counted, *(each for each in ids if not each.startswith(TRADE))]
    still = "signs" if len(ids) == 1 else "sign"
    return f"{signer} is a former key: {' and '.join(named)} still {still} by it"
