"""Quotas (Cinder): what each project may use of block storage. Counted and checked inside the changes themselves."""

from noded.core.service import Service
from storage.quotas.commands import ResetQuota, SetQuota
from storage.quotas.model import Charge, QuotaLimits, QuotaUse

SERVICE = Service(
    name="storage.quotas",
    records=(Charge, QuotaLimits, QuotaUse),
    commands=(ResetQuota, SetQuota),
)
