"""What the official SDK makes of texts: whether it reads them, and as what. `null` is a refusal."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    decode_payment_signature_header,
)
from x402.mechanisms.evm.default_assets import DEFAULT_ASSETS
from x402.mechanisms.evm.utils import get_evm_chain_id
from x402.mechanisms.evm.v1.constants import V1_NETWORK_CHAIN_IDS
from x402.schemas.helpers import convert_to_token_amount, parse_money

import x402

# Its __init__ loads every extension, and one of them wants packages that this environment does not have.
extensions = sys.modules["x402.extensions"] = ModuleType("x402.extensions")
extensions.__path__ = [str(Path(x402.__file__).parent / "extensions")]
payment_ids = importlib.import_module("x402.extensions.payment_identifier.utils")

told = json.loads(sys.stdin.readline())


def price(text):
    return convert_to_token_amount(parse_money(text)["amount"], 6)


def read(decode):
    def tried(text):
        decode(text)
        return "read"

    return tried


FUNCTIONS = {
    "challenge": read(decode_payment_required_header),
    "receipt": read(decode_payment_response_header),
    "payment": read(decode_payment_signature_header),
    "payment id": lambda text: "valid" if payment_ids.is_valid_payment_id(text) else None,
    "network": lambda text: str(get_evm_chain_id(text)),
    "price": price,
}


def asked(kind, text):
    try:
        return FUNCTIONS[kind](text)
    except Exception:
        return None


found = {kind: {name: asked(kind, text) for name, text in cases.items()} for kind, cases in told["cases"].items()}
found["version 1 name"] = {name: f"eip155:{number}" for name, number in V1_NETWORK_CHAIN_IDS.items()}
found["token"] = {
    f"{network} {token['asset'].lower()}": ", ".join(
        [token["name"], token["version"], str(token["decimals"]), token.get("asset_transfer_method", "eip3009")]
    )
    for network, tokens in DEFAULT_ASSETS.items()
    for token in tokens
}
print(json.dumps({"done": found}))
