"""What `hypertrader doctor` says of former keys: who still signs by one, and whose key is missing."""

from collections.abc import Sequence

from temporalio.client import Client

from activities.messages import TRADE
from cli.errors import CommandFailed
from exchange.network import load_keys
from feed.former_keys import signing, stranded
from settings import Settings


async def who_needs_them(settings: Settings, client: Client) -> str:
    """Raises CommandFailed("text -> cure") where trades stand still for want of a key, RPCError, SetupRefused."""
    signers = [key.address for key in load_keys(settings)]
    account = settings.account or signers[0]
    if lost := await stranded(client, account, signers):
        text = "; ".join(f"{', '.join(ids)}: signed by {signer}, whose key is not here" for signer, ids in lost.items())
        raise CommandFailed(
            f"{text}: nobody serves them -> append that key as a further line to the private keys, and restart the "
            "worker; if it is lost, see docs/operating.md, Another private key"
        )
    found = await signing(client, account, signers)
    return "; ".join(_words(each, found.get(each, ())) for each in signers[1:]) or "there is none"


def _words(signer: str, ids: Sequence[str]) -> str:
    if not ids:
        return f"{signer} is a former key: nothing has it any more, its line can be removed"
    trades = sum(each.startswith(TRADE) for each in ids)
    counted = [f"{trades} trade{'s' if trades > 1 else ''}"] if trades else []
    named = [*counted, *(each for each in ids if not each.startswith(TRADE))]
    still = "signs" if len(ids) == 1 else "sign"
    return f"{signer} is a former key: {' and '.join(named)} still {still} by it"
