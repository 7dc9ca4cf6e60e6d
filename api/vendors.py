"""/api/vendors: the vendor registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from api._context import ContextOf, token_required
from api._fields import Answer, RequestBody, UsdIn
from api._json import ExactRoute
from api._problems import FieldError, ProblemError, responses
from api._shapes import VendorOut
from vendors.errors import InvalidVendor
from vendors.models import Vendor

__all__ = ["router"]

router = APIRouter(
    route_class=ExactRoute, prefix="/api/vendors", dependencies=[Depends(token_required)], tags=["vendors"]
)


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


Score = Annotated[float, BeforeValidator(_score), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
VendorId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="which vendor")]
Short = Annotated[str, Field(max_length=2_000)]


class VendorBody(RequestBody):
    """A vendor to register."""

    vendor_id: Short = Field(description="1 to 64 of A-Z a-z 0-9 _ -", examples=["gpu_vendor_1"])
    name: Short = Field(description="for people", examples=["GPU Vendor One"])
    endpoint: Short = Field(description="https, or http on this machine", examples=["http://127.0.0.1:4001"])
    base_price_per_hour: UsdIn = Field(description="list price in dollars", examples=[1.4])
    reliability_score: Score = Field(0.9, description="what is believed of it before it has a record")
    supported_gpu_types: Annotated[list[Short], Field(max_length=64)] = Field(
        description="what it rents out", examples=[["A100"]]
    )
    pay_to: Short | None = Field(None, description="payee; default: pinned at the first payment")
    secret_ref: Annotated[str, Field(pattern=r"^GPU_VENDOR_SECRET(_[A-Z0-9_]{1,64})?$")] = Field(
        "GPU_VENDOR_SECRET", description="names the variable with its bearer token"
    )


class VendorChange(RequestBody):
    """What is to change; fields left out stay as they are."""

    name: Short | None = Field(None, description="for people")
    endpoint: Short | None = Field(None, description="https, or http on this machine")
    base_price_per_hour: UsdIn | None = Field(None, description="list price in dollars")
    supported_gpu_types: Annotated[list[Short], Field(max_length=64)] | None = Field(
        None, description="what it rents out"
    )
    pay_to: Short | None = Field(
        None, description="payee; an operator's change of it is a change of whom to trust"
    )
    secret_ref: Annotated[str, Field(pattern=r"^GPU_VENDOR_SECRET(_[A-Z0-9_]{1,64})?$")] | None = Field(
        None, description="variable that holds its bearer token"
    )


class VendorsAnswer(Answer):
    """The registry."""

    vendors: list[VendorOut] = Field(description="by id")


_COMMON = ("unauthorized", "not_configured", "store_unavailable")
_BODY = (*_COMMON, "invalid_json", "body_too_large", "unsupported_media_type", "invalid_request")


@router.get("", summary="List vendors", responses=responses(*_COMMON))
async def list_vendors(context: ContextOf) -> VendorsAnswer:
    """All vendors, by id."""
    return VendorsAnswer(vendors=[VendorOut.of(vendor) for vendor in await context.vendors.list()])


@router.post("", status_code=201, summary="Register a vendor", responses=responses(*_BODY, "vendor_exists"))
async def add_vendor(body: VendorBody, context: ContextOf) -> VendorOut:
    """Add a vendor. Without `payTo` its payee is pinned at the first payment and never changes by itself."""
    with _naming_the_field():
        vendor = Vendor(
            vendor_id=body.vendor_id,
            name=body.name,
            endpoint=body.endpoint,
            base_price_per_hour=body.base_price_per_hour,
            reliability_score=body.reliability_score,
            reliability_prior=body.reliability_score,
            supported_gpu_types=tuple(body.supported_gpu_types),
            pay_to=body.pay_to,
            secret_ref=body.secret_ref,
            created_at=context.world.now(),
        )
    await context.vendors.add(vendor)
    return VendorOut.of(vendor)


@router.patch("/{vendor_id}", summary="Change a vendor", responses=responses(*_BODY, "vendor_not_found"))
async def change_vendor(vendor_id: VendorId, body: VendorChange, context: ContextOf) -> VendorOut:
    """Change what is given; the record and its evidence stay. `payTo: null` has the next payment pin it anew."""
    changes: dict[str, Any] = body.model_dump(exclude_unset=True)
    empty = [to_camel(name) for name, value in changes.items() if value is None and name != "pay_to"]
    if empty or not changes:
        errors = [FieldError(field=name, message="must not be null") for name in empty]
        detail = "; ".join(f"{e.field}: {e.message}" for e in errors) or "name at least one field to change"
        raise ProblemError("invalid_request", detail, errors)
    if "supported_gpu_types" in changes:
        changes["supported_gpu_types"] = tuple(changes["supported_gpu_types"])
    with _naming_the_field():
        return VendorOut.of(await context.vendors.change(vendor_id, lambda vendor: replace(vendor, **changes)))


@router.delete(
    "/{vendor_id}",
    status_code=204,
    summary="Remove a vendor",
    responses=responses(*_COMMON, "vendor_not_found", "invalid_request"),
)
async def remove_vendor(vendor_id: VendorId, context: ContextOf) -> None:
    """Strike a vendor off. Its running jobs fail; what was paid stays paid."""
    await context.vendors.remove(vendor_id)


@contextmanager
def _naming_the_field() -> Iterator[None]:
    try:
        yield
    except InvalidVendor as exc:
        error = FieldError(field=to_camel(exc.field), message=exc.problem)
        raise ProblemError("invalid_request", f"{error.field}: {error.message}", [error]) from None
