"""Every block of every replica is read and compared now and then, so that rot is found in time. No OpenStack API."""

from noded.core.service import Service
from storage.scrubs.commands import ReportScrub
from storage.scrubs.reconcile import ScrubsReconciler

SERVICE = Service(name="storage.scrubs", commands=(ReportScrub,), reconcilers=(ScrubsReconciler,))
