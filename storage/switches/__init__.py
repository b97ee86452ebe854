"""Switches (Cinder, "Services"): which nodes get new volumes, as operators want it."""

from noded.core.service import Service
from storage.switches.commands import SetSwitch
from storage.switches.model import Switch

SERVICE = Service(name="storage.switches", records=(Switch,), commands=(SetSwitch,))
