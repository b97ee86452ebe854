"""Answers /noded/v1/image-import-rules: from where images may be imported, and sets it."""

import msgspec

from images.import_rules.commands import SetImportRules
from images.import_rules.model import RulesForm, expect_sense, rules_of
from noded.core.route import Allow, Request, Response, Route


class RulesBody(msgspec.Struct, frozen=True):
    """`{"image_import_rules": {...}}`."""

    image_import_rules: RulesForm


async def show_rules(request: Request) -> Response:
    """GET /noded/v1/image-import-rules."""
    return _answer(request)


async def set_rules(request: Request) -> Response:
    """PUT /noded/v1/image-import-rules; a rule that is left out is as it was at the start."""
    form = (await request.json(RulesBody)).image_import_rules
    expect_sense(form)
    await request.cluster.propose(SetImportRules(rules=form))
    return _answer(request)


def _answer(request: Request) -> Response:
    rules = rules_of(request.cluster.view())
    return Response(body={"image_import_rules": {name: getattr(rules, name) for name in RulesForm.__struct_fields__}})


ROUTES = (
    Route(verb="GET", path="/image-import-rules", handler=show_rules, allow=Allow.READER),
    Route(verb="PUT", path="/image-import-rules", handler=set_rules, allow=Allow.ADMIN),
)
