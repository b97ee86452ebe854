"""Qualities of service (Cinder, "QoS specs"): how much I/O the volumes of a type may do."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.qos.api import ROUTES
from storage.qos.commands import AssociateQos, CreateQos, DeleteQos, DisassociateQos, SetQosKeys
from storage.qos.model import QosSpecs

SERVICE = Service(
    name="storage.qos",
    endpoint=BLOCK_STORAGE,
    records=(QosSpecs,),
    commands=(AssociateQos, CreateQos, DeleteQos, DisassociateQos, SetQosKeys),
    routes=ROUTES,
)
