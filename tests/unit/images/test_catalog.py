"""What users may write on images, whom images are shown to, and what servers can be made from."""

import pytest

from images.catalog import forms
from images.catalog.commands import ChangeImage, DeleteImage, ImageForm, boot_source, visible
from images.catalog.listing import Repeated, listed, page_links
from images.catalog.model import Image, Membership, Visibility, membership_id
from images.catalog.patch import patched
from images.catalog.views import image_view
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound, Refused, TooLarge
from noded.core.route import Caller
from tests.unit.images.builders import ADMIN, MINE, THEIRS, caller, create, image_id
from tests.unit.storage_services.builders import Bench

ME = caller()
FORM = ImageForm(project_id=MINE, name="old", properties={"colour": "red"})


def shown(bench: Bench, who: Caller, **query: str) -> list[str]:
    tags, keys, directions = ([query[name]] if name in query else [] for name in ("tag", "sort_key", "sort_dir"))
    repeated = Repeated(tags=tags, sort_keys=keys, sort_dirs=directions)
    return [image.name or "" for image in listed(bench.view, who, query, repeated).images]


def test_a_patch_adds_replaces_and_removes() -> None:
    changes: list[dict[str, object]] = [
        {"op": "replace", "path": "/name", "value": "new"},
        {"op": "add", "path": "/size~1class", "value": "big"},
        {"op": "remove", "path": "/colour"},
        {"op": "replace", "path": "/tags", "value": ["a", "b", "a"]},
        {"replace": "/min_disk", "value": 3},
    ]
    after = patched(FORM, changes, ME)
    assert (after.name, after.properties, after.tags, after.min_disk_gib) == (
        "new", {"size/class": "big"}, ("a", "b"), 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"op": "replace", "path": "/missing", "value": "x"}, Conflict),
        ({"op": "remove", "path": "/missing"}, Conflict),
        ({"op": "remove", "path": "/name"}, Forbidden),
        ({"op": "replace", "path": "/id", "value": "x"}, Forbidden),
        ({"op": "replace", "path": "/status", "value": "active"}, Forbidden),
        ({"op": "add", "path": "/os_glance_x", "value": "x"}, Forbidden),
        ({"op": "replace", "path": "/visibility", "value": "public"}, Forbidden),
        ({"op": "replace", "path": "/owner", "value": THEIRS}, Forbidden),
        ({"op": "replace", "path": "/visibility", "value": "secret"}, Invalid),
        ({"op": "replace", "path": "/name", "value": "n" * 256}, Invalid),
        ({"op": "replace", "path": "/min_ram", "value": -1}, Invalid),
        ({"op": "replace", "path": "/protected", "value": "yes"}, Invalid),
        ({"op": "replace", "path": "/disk_format", "value": "floppy"}, Invalid),
        ({"op": "add", "path": "/a/b", "value": "x"}, Invalid),
        ({"op": "add", "path": "name", "value": "x"}, Invalid),
        ({"op": "add", "path": "/number", "value": 5}, Invalid),
        ({"op": "copy", "path": "/name"}, Invalid),
        ({"op": "replace", "path": "/name"}, Invalid),
        ({}, Invalid),
    ],
)
def test_a_patch_that_cannot_be_made_says_why(change: dict[str, object], kind: type[Refused]) -> None:
    with pytest.raises(kind):
        patched(FORM, [change], ME)


def test_only_an_administrator_publishes() -> None:
    assert forms.set_key(FORM, "visibility", "public", ADMIN).visibility is Visibility.PUBLIC
    with pytest.raises(Forbidden):
        forms.set_key(FORM, "visibility", "public", ME)


@pytest.mark.parametrize("value", ["", "x", 5, None, "../../etc", "0" * 36, "ABCDEF00-0000-0000-0000-000000000000"])
def test_an_image_id_is_a_uuid(value: object) -> None:
    with pytest.raises(Invalid):
        forms.image_id_of(value)


def gallery() -> Bench:
    bench = Bench(
        create(1, name="mine", now_ms=1000, tags=("x",)),
        create(2, name="private", project_id=THEIRS, visibility=Visibility.PRIVATE, now_ms=2000),
        create(3, name="public", project_id=THEIRS, visibility=Visibility.PUBLIC, now_ms=3000, min_disk_gib=7),
        create(4, name="community", project_id=THEIRS, visibility=Visibility.COMMUNITY, now_ms=4000),
        create(5, name="shared", project_id=THEIRS, now_ms=5000),
        create(6, name="hidden", hidden=True, now_ms=6000),
    )
    change = bench.begin()
    member = Membership(
        id=membership_id(image_id(5), MINE),
        image_id=image_id(5),
        project_id=MINE,
        state="accepted",
        created_at_ms=0,
        updated_at_ms=0,
    )
    change.put(member)
    bench.view = change.commit()
    return bench


def test_a_list_shows_own_public_and_accepted_images_newest_first() -> None:
    assert shown(gallery(), ME) == ["shared", "public", "mine"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"visibility": "community"}, ["community"]),
        ({"visibility": "public"}, ["public"]),
        ({"os_hidden": "true"}, ["hidden"]),
        ({"name": "in:mine,public"}, ["public", "mine"]),
        ({"tag": "x"}, ["mine"]),
        ({"min_disk": "7"}, ["public"]),
        ({"owner": MINE}, ["mine"]),
        ({"status": "active"}, []),
        ({"sort_key": "name", "sort_dir": "asc"}, ["mine", "public", "shared"]),
        ({"sort": "name:desc"}, ["shared", "public", "mine"]),
        ({"created_at": "gt:1970-01-01T00:00:03Z"}, ["shared"]),
        ({"created_at": "gt:0001-01-01"}, ["shared", "public", "mine"]),
        ({"limit": "1", "marker": str(image_id(5))}, ["public"]),
        ({"limit": "0"}, []),
        ({"member_status": "rejected"}, ["public", "mine"]),
        ({"protected": "false", "name": "mine"}, ["mine"]),
    ],
)
def test_lists_are_filtered_sorted_and_paged(query: dict[str, str], names: list[str]) -> None:
    assert shown(gallery(), ME, **query) == names


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"}, {"limit": "x"}, {"marker": "nowhere"}, {"sort_key": "shoe"}, {"sort_dir": "up"},
        {"sort": "name:up"}, {"visibility": "secret"}, {"member_status": "maybe"}, {"created_at": "gt:yesterday"},
        {"size_min": "x"}, {"os_hidden": "perhaps"}, {"limit": "9" * 5000},
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        shown(gallery(), ME, **query)


def test_the_next_page_is_linked_with_the_same_filters() -> None:
    query = {"limit": "2", "visibility": "all"}
    repeated = Repeated(sort_keys=["name", "id"], sort_dirs=["asc", "desc"])
    page = listed(gallery().view, ME, query, repeated)
    links = page_links(query, repeated, page)
    said = "limit=2&visibility=all&sort_key=name&sort_key=id&sort_dir=asc&sort_dir=desc"
    assert links["next"] == f"/v2/images?{said}&marker={page.images[-1].id}"


def test_each_sort_key_may_have_a_direction_of_its_own() -> None:
    def names(keys: list[str], directions: list[str]) -> list[str]:
        repeated = Repeated(sort_keys=keys, sort_dirs=directions)
        return [image.name or "" for image in listed(gallery().view, ME, {}, repeated).images]

    assert names(["owner", "name"], ["asc", "asc"]) == ["mine", "public", "shared"]
    assert names(["owner", "name"], ["asc", "desc"]) == ["mine", "shared", "public"]
    assert names(["owner", "name"], ["desc"]) == ["shared", "public", "mine"]
    with pytest.raises(Invalid, match="3 sort directions for 2 sort keys"):
        names(["owner", "name"], ["asc", "asc", "asc"])


def test_too_many_words_are_too_large() -> None:
    with pytest.raises(TooLarge, match="at most 128 tags"):
        forms.tags_of([f"tag{number}" for number in range(129)])
    form = ImageForm(project_id=MINE, properties={f"key{number}": "" for number in range(128)})
    with pytest.raises(TooLarge, match="at most 128 properties"):
        forms.set_key(form, "one_more", "", ME)
    assert forms.set_key(form, "key0", "changed", ME).properties["key0"] == "changed"


def test_what_may_not_be_seen_is_as_if_it_were_not_there() -> None:
    view = gallery().view
    for number in (1, 3, 4, 5, 6):
        visible(view, ME, view.get(Image, image_id(number)), image_id(number))
    with pytest.raises(NotFound):
        visible(view, ME, view.get(Image, image_id(2)), image_id(2))
    visible(view, ADMIN, view.get(Image, image_id(2)), image_id(2))


def test_of_two_changes_at_once_the_second_is_refused() -> None:
    bench = gallery()
    order = ChangeImage(image_id=image_id(1), generation=0, form=FORM, now_ms=9000)
    bench.apply(order)
    assert isinstance(bench.refusal(order), Conflict)


def test_a_protected_image_is_not_deleted() -> None:
    bench = Bench(create(1, protected=True))
    assert isinstance(bench.refusal(DeleteImage(image_id=image_id(1))), Forbidden)


def test_an_empty_image_is_queued_and_no_server_is_made_from_it() -> None:
    bench = Bench(create(1))
    view = image_view(bench.view.need(Image, image_id(1)))
    assert (view["status"], view["size"], view["checksum"]) == ("queued", None, None)
    with pytest.raises(Invalid, match="has no contents yet"):
        boot_source(bench.view, ME, image_id(1))
    with pytest.raises(Invalid, match="No image"):
        boot_source(bench.view, ME, "nothing")
