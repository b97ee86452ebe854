"""What other services may write on an image that they make, by the rules of its user, and the catalogue's words."""

from collections.abc import Mapping

from images.catalog import forms
from images.catalog.commands import ImageForm
from images.catalog.views import STORE, status
from noded.core.route import Caller

__all__ = ["STORE", "form_for", "status"]


def form_for(caller: Caller, keys: Mapping[str, object]) -> ImageForm:
    """A new image of the caller's project, in Glance's keys. Raises `Refused` for what they may not write."""
    form = ImageForm(project_id=caller.project)
    for key, value in keys.items():
        form = forms.set_key(form, key, value, caller)
    return form
