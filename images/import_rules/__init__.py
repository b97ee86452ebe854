"""From which addresses images may be imported (Glance's `[import_filtering_opts]`): /noded/v1/image-import-rules."""

from consensus.endpoint import NODED
from images.import_rules.api import ROUTES
from images.import_rules.commands import SetImportRules
from images.import_rules.model import ImportRules
from noded.core.service import Service

SERVICE = Service(
    name="images.import_rules",
    endpoint=NODED,
    records=(ImportRules,),
    commands=(SetImportRules,),
    routes=ROUTES,
)
