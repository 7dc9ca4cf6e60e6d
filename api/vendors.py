"""/api/vendors: the vendor registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from agent.book.errors import ConfigurationError
from agent.secrets.sealing import NoKeys
from agent.secrets.vendor_secrets import reseal, seals_of
from api._access import Reader, Runner, admin
from api._context import Context, ContextOf
from api._fields import VENDOR_ID, Answer, RequestBody, RunId, Secret, UsdIn, Whole
from api._json import ExactRoute
from api._problems import FieldError, ProblemError, responses
from api._shapes import VendorOut
from net.addresses import LOOPBACK_REFUSED
from vendors.errors import InvalidVendor
from vendors.models import Vendor, Vote
from vendors.reliability import BEST_VOTE, user_hash
from x402.policy import why_never_paid

__all__ = ["router"]

router = APIRouter(route_class=ExactRoute, prefix="/api/vendors", tags=["vendors"])


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


Score = Annotated[float, BeforeValidator(_score), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
VendorId = Annotated[str, Path(pattern=VENDOR_ID, description="which vendor")]
Short = Annotated[str, Field(max_length=2_000)]

# What `Vendor` itself will not have, for who reads the description; it says so better than a pattern would.
NewId = Annotated[Short, Field(json_schema_extra={"pattern": VENDOR_ID})]
Name = Annotated[Short, Field(json_schema_extra={"minLength": 1, "maxLength": 100})]
Endpoint = Annotated[Short, Field(json_schema_extra={"format": "uri"})]
GpuType = Annotated[Short, Field(json_schema_extra={"pattern": r"^[A-Za-z0-9_.-]{1,64}$"})]
GpuTypes = Annotated[list[GpuType], Field(max_length=64, json_schema_extra={"minItems": 1})]
Payee = Annotated[Short, Field(json_schema_extra={"pattern": r"^0x[0-9a-fA-F]{40}$"})]
SecretRef = Annotated[str, Field(pattern=r"^GPU_VENDOR_SECRET(_[A-Z0-9_]{1,64})?$")]


Vote0To5 = Annotated[
    Whole,
    Field(ge=0, le=BEST_VOTE),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": BEST_VOTE}),
]


class VendorBody(RequestBody):
    """A vendor to register."""

    vendor_id: NewId = Field(description="1 to 64 of A-Z a-z 0-9 _ -", examples=["gpu_vendor_1"])
    name: Name = Field(description="for people", examples=["GPU Vendor One"])
    endpoint: Endpoint = Field(description="https, or http on this machine", examples=["http://127.0.0.1:4001"])
    base_price_per_hour: UsdIn = Field(description="list price in dollars", examples=[1.4])
    reliability_score: Score = Field(0.9, description="what is believed of it before it has a record")
    supported_gpu_types: GpuTypes = Field(description="what it rents out", examples=[["A100"]])
    pay_to: Payee | None = Field(None, description="payee; default: pinned at the first payment")
    secret_ref: SecretRef | None = Field(
        None, description="names the variable with its bearer token; default: GPU_VENDOR_SECRET"
    )
    secret: Secret | None = Field(None, description="or the token itself, which is sealed and never shown again")
    allow_tx_id: bool = Field(
        False,
        description="it may name payments by x402-tx-id alone, as vendors before x402 do; that proves nothing",
    )


class VendorChange(RequestBody):
    """What is to change; fields left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Name | SkipJsonSchema[None] = Field(None, description="for people")
    endpoint: Endpoint | SkipJsonSchema[None] = Field(None, description="https, or http on this machine")
    base_price_per_hour: UsdIn | SkipJsonSchema[None] = Field(
        None, description="list price in dollars", examples=[1.4]
    )
    supported_gpu_types: GpuTypes | SkipJsonSchema[None] = Field(None, description="what it rents out")
    pay_to: Payee | None = Field(
        None, description="payee; an operator's change of it is a change of whom to trust"
    )
    secret_ref: SecretRef | SkipJsonSchema[None] = Field(
        None, description="variable that holds its bearer token from now on"
    )
    secret: Secret | SkipJsonSchema[None] = Field(
        None, description="or the token itself, which is sealed and never shown again"
    )
    allow_tx_id: bool | SkipJsonSchema[None] = Field(
        None, description="whether it may name payments by x402-tx-id alone; that proves nothing"
    )


class FeedbackBody(RequestBody):
    """What a user thinks of a vendor after a run."""

    run_id: RunId = Field(
        description="a run of theirs that has had a job there", examples=["66a1f0c2e4b0a1b2c3d4e5f6"]
    )
    score: Vote0To5 = Field(description="0 (never again) to 5", examples=[4])


class FeedbackAnswer(Answer):
    """The vendor's score now."""

    vendor_id: str = Field(description="which vendor")
    reliability_score: float = Field(description="expected share of jobs that complete")
    votes: int = Field(description="votes that count")
    vote_average: float | None = Field(description="their mean, 0 to 5")

    @classmethod
    def of(cls, vendor: Vendor) -> FeedbackAnswer:
        """What a vote came to."""
        return cls(
            vendor_id=vendor.vendor_id,
            reliability_score=vendor.reliability_score,
            votes=vendor.record.vote_count,
            vote_average=vendor.record.vote_average,
        )


class VendorsAnswer(Answer):
    """The registry."""

    vendors: list[VendorOut] = Field(description="by id")


class ResealBody(RequestBody):
    """Nothing: an empty object."""


class UnopenedOut(Answer):
    """A vendor whose secret could not be sealed anew."""

    vendor_id: str = Field(description="which vendor")
    reason: str = Field(description="why; give it its secret again, or put the key back")


class ResealAnswer(Answer):
    """What a rotation of the sealing keys did."""

    resealed: int = Field(description="secrets that were sealed with the first key now")
    current: int = Field(description="secrets that were sealed with it before")
    failed: list[UnopenedOut] = Field(description="secrets that stay as they are; their vendors cannot be used")


_OPERATOR = "the operator"
"""Who votes where the caller is nobody's key: never in a user's name."""

_COMMON = ("unauthorized", "forbidden", "rate_limited", "not_configured", "store_unavailable")
_BODY = (*_COMMON, "invalid_json", "body_too_large", "body_too_slow", "unsupported_media_type", "invalid_request")


@router.get("", summary="List vendors", responses=responses(*_COMMON))
async def list_vendors(context: ContextOf, caller: Reader) -> VendorsAnswer:
    """All vendors, by id. Which jobs a vendor's record rests on is shown to who may see everybody's runs."""
    found = await context.vendors.list()
    if caller.user_id is not None:
        found = [replace(each, record=replace(each.record, evidence=())) for each in found]
    return VendorsAnswer(vendors=[VendorOut.of(vendor) for vendor in found])


@router.post(
    "",
    status_code=201,
    summary="Register a vendor",
    dependencies=[Depends(admin)],
    responses=responses(*_BODY, "vendor_exists"),
)
async def add_vendor(body: VendorBody, context: ContextOf) -> VendorOut:
    """Add a vendor. Without `payTo` its payee is pinned at the first payment and never changes by itself."""
    with _naming_the_field():
        _check_one(body.secret, body.secret_ref)
        vendor = Vendor(
            vendor_id=body.vendor_id,
            name=body.name,
            endpoint=body.endpoint,
            base_price_per_hour=body.base_price_per_hour,
            reliability_score=body.reliability_score,
            reliability_prior=body.reliability_score,
            supported_gpu_types=tuple(body.supported_gpu_types),
            pay_to=body.pay_to,
            secret_ref=body.secret_ref or "GPU_VENDOR_SECRET",
            allow_tx_id=body.allow_tx_id,
            created_at=context.world.now(),
        )
        if body.secret is not None:
            vendor = _sealed(context, vendor, body.secret)
        _check_local(context, vendor)
        _check_payee(context, vendor)
    await context.vendors.add(vendor)
    return VendorOut.of(vendor)


@router.patch(
    "/{vendor_id}",
    summary="Change a vendor",
    dependencies=[Depends(admin)],
    responses=responses(*_BODY, "vendor_not_found"),
)
async def change_vendor(vendor_id: VendorId, body: VendorChange, context: ContextOf) -> VendorOut:
    """Change what is given; the record and its evidence stay. `payTo: null` has the next payment pin it anew.

    A sealed secret stays with its host: with an `endpoint` elsewhere it must be given again.
    """
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    empty = [to_camel(name) for name, value in changes.items() if value is None and name != "pay_to"]
    if empty or not changes:
        errors = [FieldError(field=name, message="must not be null") for name in empty]
        detail = "; ".join(f"{e.field}: {e.message}" for e in errors) or "name at least one field to change"
        raise ProblemError("invalid_request", detail, errors)
    if "supported_gpu_types" in changes:
        changes["supported_gpu_types"] = tuple(changes["supported_gpu_types"])
    with _naming_the_field():
        secret = changes.pop("secret", None)
        _check_one(secret, changes.get("secret_ref"))
        if "secret_ref" in changes:
            changes["sealed_secret"] = None

        def edit(vendor: Vendor) -> Vendor:
            changed = replace(vendor, **changes)
            if "endpoint" in changes:
                _check_local(context, changed)
            if "pay_to" in changes:
                _check_payee(context, changed)
            if vendor.pay_to is not None and (changed.pay_to or "").lower() != vendor.pay_to.lower():
                changed = replace(changed, former_pay_to=vendor.pay_to)
            if secret is not None:
                return _sealed(context, changed, secret)
            if changed.sealed and changed.token_for != vendor.token_for:
                raise InvalidVendor("secret", "must be given again: the sealed one is for the host as it was")
            return changed

        return VendorOut.of(await context.vendors.change(vendor_id, edit))


@router.post(
    "/{vendor_id}/feedback",
    summary="Say how a vendor did",
    responses=responses(*_BODY, "vendor_not_found", "run_not_found", "run_unreadable", "no_job_there"),
)
async def give_feedback(
    vendor_id: VendorId, body: FeedbackBody, caller: Runner, context: ContextOf
) -> FeedbackAnswer:
    """Vote on a vendor after a run that has had a job there: one vote per run and user, the last one counts.

    A 5 counts as a job that completed, a 0 as one that failed; all that one user brings, as ten jobs at the most.
    """
    run = await context.runs.get(body.run_id, caller.user_id)
    if not any(job.vendor_id == vendor_id and job.vendor_job_id for job in await context.runs.jobs(run)):
        raise ProblemError("no_job_there", f"run {run.id} has had no job at {vendor_id}")
    user = user_hash(caller.user_id or _OPERATOR)
    vote = Vote(user=user, run_id=str(run.id), score=body.score, at=context.world.now())
    with _naming_the_field():
        return FeedbackAnswer.of(await context.vendors.hear(vendor_id, vote))


@router.post(
    "/reseal",
    summary="Seal the stored secrets anew",
    dependencies=[Depends(admin)],
    responses=responses(*_BODY),
)
async def reseal_secrets(_: ResealBody, context: ContextOf) -> ResealAnswer:
    """Seal every secret in the registry with the first of SEALING_KEYS. It may be repeated at any time."""
    done = await reseal(context.vendors, seals_of(context.settings))
    failed = [UnopenedOut(vendor_id=name, reason=why) for name, why in done.failed.items()]
    return ResealAnswer(resealed=done.resealed, current=done.current, failed=failed)


@router.delete(
    "/{vendor_id}",
    status_code=204,
    summary="Remove a vendor",
    dependencies=[Depends(admin)],
    responses=responses(*_COMMON, "vendor_not_found", "invalid_request"),
)
async def remove_vendor(vendor_id: VendorId, context: ContextOf) -> None:
    """Strike a vendor off. Its running jobs fail; what was paid stays paid."""
    await context.vendors.remove(vendor_id)


def _check_one(secret: SecretStr | None, ref: str | None) -> None:
    if secret is not None and ref is not None:
        raise InvalidVendor("secret", "must not be there together with secretRef")


def _sealed(context: Context, vendor: Vendor, secret: SecretStr) -> Vendor:
    """The vendor with its secret as it may be stored."""
    try:
        sealed = seals_of(context.settings).seal(secret.get_secret_value(), vendor.token_for)
    except NoKeys as exc:
        raise InvalidVendor("secret", str(exc)) from None
    return replace(vendor, secret_ref=None, sealed_secret=sealed)


def _check_local(context: Context, vendor: Vendor) -> None:
    if vendor.local and not context.settings.loopback_allowed:
        raise InvalidVendor("endpoint", f"must not be {LOOPBACK_REFUSED}")


def _check_payee(context: Context, vendor: Vendor) -> None:
    """What can never be paid; signing refuses it in any case. Of the wallet only a process that has it knows."""
    if vendor.pay_to is None:
        return
    if why := why_never_paid(vendor.pay_to):
        raise InvalidVendor("pay_to", why)
    with suppress(ConfigurationError):
        if vendor.pay_to.lower() == context.services().wallet.address.lower():
            raise InvalidVendor("pay_to", "must not be the wallet that pays: it would pay itself")


@contextmanager
def _naming_the_field() -> Iterator[None]:
    try:
        yield
    except InvalidVendor as exc:
        error = FieldError(field=to_camel(exc.field), message=exc.problem)
        raise ProblemError("invalid_request", f"{error.field}: {error.message}", [error]) from None
