"""Certificates of the operator's own, shown by the API beside the cluster's. Below `/noded/v1/certificates`."""

from consensus.endpoint import NODED
from consensus.own_certificates.api import LOCAL_CALLS, ROUTES
from consensus.own_certificates.commands import InstallCertificate, RemoveCertificate
from consensus.own_certificates.model import OwnCertificate
from consensus.own_certificates.reconcile import OwnCertificatesReconciler
from noded.core.service import Service

SERVICE = Service(
    name="consensus.own_certificates",
    endpoint=NODED,
    records=(OwnCertificate,),
    commands=(InstallCertificate, RemoveCertificate),
    routes=ROUTES,
    local_calls=LOCAL_CALLS,
    reconcilers=(OwnCertificatesReconciler,),
)
