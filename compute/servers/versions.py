"""From which microversion on each field of a server exists (Nova, "REST API Version History")."""

Version = tuple[int, int]

# Fields of a creation that older versions refuse.
CREATE_FIELDS: dict[str, Version] = {
    "description": (2, 19),
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
}
UPDATE_FIELDS: dict[str, Version] = {"description": (2, 19), "hostname": (2, 90)}
PERSONALITY_UNTIL: Version = (2, 56)
NETWORKS_NEEDED: Version = (2, 37)

MORE_ATTRIBUTES: Version = (2, 3)
LOCKED: Version = (2, 9)
HOST_STATUS: Version = (2, 16)
DESCRIPTION: Version = (2, 19)
TAGS: Version = (2, 26)
PROXIES_UNTIL: Version = (2, 35)
STATUS_CHECKED: Version = (2, 38)
EMBEDDED_FLAVOR: Version = (2, 47)
CERTIFICATES: Version = (2, 63)
CHANGES_BEFORE: Version = (2, 66)
SERVER_GROUPS: Version = (2, 71)
LOCKED_REASON: Version = (2, 73)
WHOLE_UPDATE: Version = (2, 75)  # an update answers with everything, and unknown filters are refused
HOSTNAME_FOR_ALL: Version = (2, 90)
PINNED_ZONE: Version = (2, 96)
