import os
import stat
import threading
from pathlib import Path

import pytest

from exchange.network import Endpoint, SetupRefused, endpoint, load_key, load_keys
from exchange.signing import LostKey
from settings import Network, Settings
from telemetry.logs import redacted

SECRET = "c3" * 32
OTHER = "5e" * 32


@pytest.fixture(autouse=True)
def _no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HYPERTRADER_PRIVATE_KEY", raising=False)


@pytest.mark.parametrize("said", ["", "no", "YES", "true", " yes"])
def test_mainnet_needs_its_second_yes(said: str) -> None:
    with pytest.raises(SetupRefused, match="must be exactly yes"):
        endpoint(Settings(network=Network.MAINNET, allow_mainnet=said))


def test_networks_have_their_addresses_and_signatures() -> None:
    main = endpoint(Settings(network=Network.MAINNET, allow_mainnet="yes"))
    assert main == Endpoint(Network.MAINNET, "https://api.hyperliquid.xyz") and main.mainnet
    test = endpoint(Settings(network=Network.TESTNET))
    assert test == Endpoint(Network.TESTNET, "https://api.hyperliquid-testnet.xyz") and not test.mainnet
    paper = endpoint(Settings(exchange_url="http://127.0.0.1:7250/"))
    assert paper == Endpoint(Network.PAPER, "http://127.0.0.1:7250") and not paper.mainnet


@pytest.mark.parametrize(
    "url", ["https://api.hyperliquid.xyz", "https://api.hyperliquid-testnet.xyz", "127.0.0.1:7250", "ftp://host"]
)
def test_paper_refuses_what_is_no_simulator(url: str) -> None:
    with pytest.raises(SetupRefused, match="exchange_url is"):
        endpoint(Settings(exchange_url=url))


def test_paper_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "new")
    first = load_key(settings)
    assert load_key(settings).address == first.address
    assert stat.S_IMODE((tmp_path / "new" / "paper.key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "new") == ["paper.key"]


def test_processes_that_start_at_once_get_the_same_paper_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    addresses: list[str] = []

    def load() -> None:
        start.wait()
        addresses.append(load_key(Settings(state_dir=tmp_path)).address)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(addresses) == 8 and len(set(addresses)) == 1
    assert os.listdir(tmp_path) == ["paper.key"]


@pytest.mark.parametrize("network", [Network.TESTNET, Network.MAINNET])
def test_real_networks_make_no_key_of_their_own(tmp_path: Path, network: Network) -> None:
    with pytest.raises(SetupRefused, match="set HYPERTRADER_PRIVATE_KEY or private_key_file"):
        load_key(Settings(network=network, state_dir=tmp_path))
    assert os.listdir(tmp_path) == []


def test_key_comes_from_the_environment_or_a_file_but_not_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"0x{SECRET}\n")
    file.chmod(0o600)
    by_file = load_key(Settings(network=Network.TESTNET, private_key_file=file))
    monkeypatch.setenv("HYPERTRADER_PRIVATE_KEY", SECRET)
    assert load_key(Settings(network=Network.TESTNET)).address == by_file.address
    with pytest.raises(SetupRefused, match="both set"):
        load_key(Settings(network=Network.TESTNET, private_key_file=file))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(SECRET)
    file.chmod(mode)
    with pytest.raises(SetupRefused, match="chmod 600"):
        load_key(Settings(private_key_file=file))


def test_bad_key_is_refused_without_being_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERTRADER_PRIVATE_KEY", SECRET[:-2])
    with pytest.raises(SetupRefused, match="HYPERTRADER_PRIVATE_KEY: the private key has 31 bytes") as caught:
        load_key(Settings())
    assert SECRET[:8] not in str(caught.value) and caught.value.__suppress_context__
    monkeypatch.delenv("HYPERTRADER_PRIVATE_KEY")
    with pytest.raises(SetupRefused, match="can't be read: No such file"):
        load_key(Settings(private_key_file=tmp_path / "nowhere"))


def keys_in(file: Path, text: str) -> Settings:
    file.write_text(text)
    file.chmod(0o600)
    return Settings(network=Network.TESTNET, private_key_file=file)


def test_the_first_key_signs_and_former_ones_stand_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_file = keys_in(tmp_path / "keys", f"0x{OTHER}\n{SECRET}\n\n")
    new, former = load_keys(by_file)
    assert load_key(by_file).address == new.address
    (alone,) = load_keys(keys_in(tmp_path / "former", SECRET))
    assert alone.address == former.address != new.address
    _, lost = load_keys(keys_in(tmp_path / "lost", f"{OTHER}\n{former.address}"))
    assert isinstance(lost, LostKey) and lost.address == former.address
    monkeypatch.setenv("HYPERTRADER_PRIVATE_KEY", f"{OTHER},{SECRET}")
    assert [key.address for key in load_keys(Settings())] == [new.address, former.address]
    assert redacted(f"{OTHER} and 0x{SECRET.upper()}") == "[private key] and [private key]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{SECRET}\n{OTHER}\n0x{SECRET.upper()}", "key 3 of private key file .* is there twice"),
        (f"{SECRET}\n{OTHER[:-1]}z", "key 2 of private key file .*: the private key is not hexadecimal"),
        (f"{SECRET}\n{OTHER}00", "key 2 of private key file .*: the private key has 33 bytes"),
        ("0x" + "5e" * 20, "private key file .*: the private key has 20 bytes"),
        ("\n", "private key file .*: the private key has 0 bytes"),
        (f"{SECRET}\n" * 100, "is larger than 4096 bytes"),
    ],
)
def test_keys_of_which_one_is_none_are_refused_without_being_shown(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SetupRefused, match=told) as caught:
        load_keys(keys_in(tmp_path / "keys", text))
    assert not any(key[:8].lower() in str(caught.value).lower() for key in (SECRET, OTHER))
