"""Transfers (Cinder, "Volume transfers"): a volume that one project gives to another."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.transfers.api import ROUTES
from storage.transfers.commands import AcceptTransfer, CreateTransfer, DeleteTransfer
from storage.transfers.model import Transfer

SERVICE = Service(
    name="storage.transfers",
    endpoint=BLOCK_STORAGE,
    records=(Transfer,),
    commands=(AcceptTransfer, CreateTransfer, DeleteTransfer),
    routes=ROUTES,
)
