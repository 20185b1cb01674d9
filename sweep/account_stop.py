"""The emergency stop of the account, asked for as `stop-all` asks for it; only Temporal keeps it from then on."""

import asyncio
import contextlib
import time
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from cli import durable_stop, portfolios
from cli.durable_stop import DurableStop
from cli.portfolio_file import first_terms
from sweep.hands import held_elsewhere
from sweep.judged import AccountProof
from sweep.rig import Rig
from sweep.story import Ending
from sweep.talk import ANSWER_TIMEOUT, POLL_S, Stuck
from workflows.granting import portfolio_id
from workflows.portfolio.asked import EmergencyStop
from workflows.portfolio.record import StopProof

PORTFOLIO = "main"
SHARES = ("ETH=40%",)
"""No trade of the sweep has its margin from the portfolio: its stop is for all trades of the account."""


class AccountStop:
    """One stop of the account, at the end of a run with that ending."""

    def __init__(self, rig: Rig, ending: Ending, *, patience_s: float) -> None:
        self._rig = rig
        self._ending = ending
        self._patience_s = patience_s

    async def prepare(self) -> None:
        """Before the trade opens: a portfolio runs, or somebody else's position is there, where the ending has it."""
        match self._ending:
            case Ending.PORTFOLIO:
                await portfolios.begin(self._rig.client, PORTFOLIO, first_terms(SHARES), self._rig.settings)
            case Ending.EVERYTHING:
                await held_elsewhere(self._rig)
            case _:
                pass

    async def proved(self) -> AccountProof:
        """Asked for, and the proof that it ended with. Raises Stuck."""
        deadline_s = time.monotonic() + self._patience_s
        asked = EmergencyStop(everything=self._ending is Ending.EVERYTHING, reason="the run is over")
        told = await durable_stop.tell_until_taken(self._rig.settings, asked, deadline_s)
        if [each.workflow_id for each in told] != [self._keeper]:
            raise Stuck(f"the emergency stop was taken by {told}, not by {self._keeper}")
        (seen,) = await durable_stop.until_flat(self._rig.client, told, deadline_s)
        if self._ending is not Ending.PORTFOLIO and seen.is_flat:
            return _of(await self._ended_with(deadline_s))
        return _of(_proof(seen))

    async def end(self) -> None:
        """The portfolio is over, as the run is."""
        while self._ending is Ending.PORTFOLIO:
            try:
                await self.handle.terminate("the run is over", rpc_timeout=ANSWER_TIMEOUT)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
            await asyncio.sleep(POLL_S)

    @property
    def _keeper(self) -> str:
        return portfolio_id(PORTFOLIO) if self._ending is Ending.PORTFOLIO else durable_stop.OWN_ID

    @property
    def handle(self) -> WorkflowHandle[Any, StopProof]:
        return self._rig.client.get_workflow_handle(self._keeper, result_type=StopProof)

    async def _ended_with(self, deadline_s: float) -> StopProof:
        """What the workflow of its own returned: with a proof it is over."""
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError):
                return await self.handle.result(rpc_timeout=ANSWER_TIMEOUT)
            await asyncio.sleep(POLL_S)
        raise Stuck(f"{self._keeper} has its proof and does not end")


def _proof(seen: DurableStop) -> StopProof:
    if seen.latch is None:
        raise Stuck(f"{seen.workflow_id} does not say how far it is")
    if seen.latch.proof is None:
        raise Stuck(f"{seen.workflow_id} has no proof after {seen.latch.looks} looks: {seen.latch.trouble}")
    return seen.latch.proof


def _of(proof: StopProof) -> AccountProof:
    return AccountProof(proof.at_ms, tuple(each.coin for each in proof.trades if each.mode == "stopped"))
