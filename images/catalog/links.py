"""What other services may write on an image that they make: what its user may, by the same rules."""

from collections.abc import Mapping

from images.catalog import forms
from images.catalog.commands import ImageForm
from noded.core.route import Caller


def form_for(caller: Caller, keys: Mapping[str, object]) -> ImageForm:
    """A new image of the caller's project, in Glance's keys. Raises `Refused` for what they may not write."""
    form = ImageForm(project_id=caller.project)
    for key, value in keys.items():
        form = forms.set_key(form, key, value, caller)
    return form
