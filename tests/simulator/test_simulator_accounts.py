"""Who may act for whom: agents and their limits, sub-accounts, transfers."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account as Key
from hyperliquid.utils.signing import sign_agent

AGENT_KEY = "0x" + "22" * 32
OK = {"status": "ok", "response": {"type": "default"}}
NOOP = {"type": "noop"}


async def approve(client: Any, address: str, name: str = "") -> Any:
    action: dict[str, Any] = {"type": "approveAgent", "agentAddress": address, "agentName": name}
    nonce = next(client._nonces)
    action["nonce"] = nonce
    signature = sign_agent(client.key, action, False)
    return await client.post({"action": action, "nonce": nonce, "signature": signature, "vaultAddress": None})


def address(number: int) -> str:
    return f"0x{number:040x}"


async def test_agent_acts_for_its_master_with_nonces_of_its_own(client: Any, as_key: Callable[..., Any]) -> None:
    agent = as_key(client, AGENT_KEY)
    assert (await agent.act(NOOP))["status"] == "err"
    assert await approve(client, agent.address, "desk") == OK
    nonce = int(time.time() * 1000) + 60_000
    assert await agent.act(NOOP, nonce=nonce) == OK
    assert await client.act(NOOP, nonce=nonce) == OK
    assert "filled" in await agent.order(True, "0.1", "3500")
    assert str(await client.size()) == "0.1"
    assert await agent.size() == 0, "the agent's own address has an empty account"


async def test_agent_cannot_sign_what_only_the_master_may(client: Any, as_key: Callable[..., Any]) -> None:
    agent = as_key(client, AGENT_KEY)
    await approve(client, agent.address, "desk")
    text = f"Must deposit before performing actions. User: {agent.address}"
    assert await approve(agent, address(5)) == {"status": "err", "response": text}


async def test_new_unnamed_approval_replaces_the_old_one(client: Any, as_key: Callable[..., Any]) -> None:
    old, new = as_key(client, AGENT_KEY), as_key(client, "0x" + "44" * 32)
    assert await approve(client, old.address) == OK
    assert await approve(client, new.address) == OK
    assert (await old.act(NOOP))["response"] == f"User or API Wallet {old.address} does not exist."
    assert await new.act(NOOP) == OK


async def test_three_named_agents_and_two_more_per_sub_account(client: Any) -> None:
    for number in range(3):
        assert await approve(client, address(number + 1), f"agent {number}") == OK
    assert (await approve(client, address(9), "one more"))["status"] == "err"
    assert await approve(client, address(9), "agent 0") == OK, "the same name replaces"
    await client.control("sub_account", master=client.address, name="hedge")
    assert await approve(client, address(10), "one more") == OK
    names = [agent["name"] for agent in await client.info("extraAgents", user=client.address)]
    assert names == ["agent 0", "agent 1", "agent 2", "one more"]


async def test_agent_ends_with_its_expiry(client: Any, as_key: Callable[..., Any]) -> None:
    agent = as_key(client, AGENT_KEY)
    until = int(time.time() * 1000) + 60_000
    assert await approve(client, agent.address, f"desk valid_until {until}") == OK
    (listed,) = await client.info("extraAgents", user=client.address)
    assert listed == {"name": "desk", "address": agent.address, "validUntil": until}
    assert await agent.act(NOOP) == OK
    client.sim.venue.accounts[client.address].agents["desk"].valid_until_ms = 1
    assert (await agent.act(NOOP))["response"] == f"User or API Wallet {agent.address} does not exist."


@pytest.mark.parametrize("expiry", ["1", "soon", str(2**50)])
async def test_impossible_expiries_are_refused(client: Any, expiry: str) -> None:
    assert (await approve(client, address(1), f"desk valid_until {expiry}"))["status"] == "err"


async def test_an_address_is_the_agent_of_one_account(client: Any, as_key: Callable[..., Any]) -> None:
    other = as_key(client, "0x" + "33" * 32)
    await client.control("fund", address=other.address, usd="100")
    agent = Key.from_key(AGENT_KEY).address.lower()
    assert await approve(client, agent, "desk") == OK
    assert (await approve(other, agent, "desk"))["status"] == "err"
    assert (await approve(client, agent, "another name"))["status"] == "err"
    assert (await approve(client, other.address))["status"] == "err", "an account is not an agent"
    assert await approve(client, agent, "desk") == OK, "the same again renews it"


async def test_agent_acts_for_the_masters_sub_accounts_only(client: Any, as_key: Callable[..., Any]) -> None:
    agent, other = as_key(client, AGENT_KEY), as_key(client, "0x" + "33" * 32)
    await client.control("fund", address=other.address, usd="100")
    await approve(client, agent.address, "desk")
    sub = (await client.control("sub_account", master=client.address, name="hedge"))["address"]
    foreign = (await client.control("sub_account", master=other.address, name="hedge"))["address"]
    assert await agent.act(NOOP, vault=sub) == OK
    assert (await agent.act(NOOP, vault=foreign))["response"] == f"Vault not registered: {foreign}"


async def test_transfers_never_leave_margin_uncovered(client: Any) -> None:
    sub = (await client.control("sub_account", master=client.address, name="hedge"))["address"]
    move = {"type": "subAccountTransfer", "subAccountUser": sub, "isDeposit": True, "usd": 9_000_000_000}
    await client.order(True, "20", "3500")
    assert (await client.act(move))["response"] == "Insufficient balance for withdrawal"
    assert (await client.act(move | {"usd": 1_000_000_000}))["status"] == "ok"
    back = move | {"isDeposit": False, "usd": 1_000_000_001}
    assert (await client.act(back))["response"] == "Insufficient balance for withdrawal"
    assert (await client.act(back | {"usd": 1_000_000_000}))["status"] == "ok"
    wrong = await client.act(move | {"subAccountUser": address(7)})
    assert wrong["response"] == f"Invalid sub-account transfer from {client.address} to {address(7)}"
    ledger = await client.seen("ledger")
    for account, book in ledger.items():
        state = await client.info("clearinghouseState", user=account)
        assert book["accountValueUsd"] == state["marginSummary"]["accountValue"]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"type": "createSubAccount", "name": "hedge"}, "Cannot create sub-accounts until enough volume traded."),
        ({"type": "scheduleCancel"}, "Cannot set scheduled cancel time until enough volume traded."),
        ({"type": "setReferrer", "code": "NOBODY"}, "Referral code not registered"),
    ],
)
async def test_refused_account_actions(client: Any, action: dict[str, Any], words: str) -> None:
    answer = await client.act(action)
    assert answer["status"] == "err" and answer["response"].startswith(words)


async def test_sub_account_opens_after_enough_volume(client: Any) -> None:
    for is_buy in (True, False):
        await client.order(is_buy, "15", "3500" if is_buy else "3400")
    answer = await client.act({"type": "createSubAccount", "name": "hedge"})
    assert answer["response"]["type"] == "createSubAccount"
    assert await client.info("userRole", user=answer["response"]["data"]) == {
        "role": "subAccount",
        "data": {"master": client.address},
    }
