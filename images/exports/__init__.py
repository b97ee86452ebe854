"""Images that are made of volumes (Cinder, "Upload volume to image"): the blocks are shared, never copied."""

from images.exports.commands import AbortExport, BeginExport, FinishExport, TakeExport
from images.exports.examine import examine_images
from images.exports.model import Export
from images.exports.reconcile import ExportReadsReconciler, ExportsReconciler
from noded.core.service import Service

SERVICE = Service(
    name="images.exports",
    records=(Export,),
    commands=(AbortExport, BeginExport, FinishExport, TakeExport),
    reconcilers=(ExportsReconciler, ExportReadsReconciler),
    examines_records=(examine_images,),
)
