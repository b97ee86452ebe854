"""Which kinds of identifiers exist. An id is chosen before the log (`dice.py`) and never changes."""

from typing import NewType

NodeId = NewType("NodeId", str)  # 32 hex digits: the start of the SHA-256 of the node's public key
ProjectId = NewType("ProjectId", str)  # 32 hex digits, as Keystone writes them
UserId = NewType("UserId", str)
DomainId = NewType("DomainId", str)
RoleId = NewType("RoleId", str)
GroupId = NewType("GroupId", str)
RequestId = NewType("RequestId", str)  # "req-" and a dashed UUID, as OpenStack's clients expect

DiskId = NewType("DiskId", str)  # 32 hex digits, written on the disk when it is claimed
VolumeId = NewType("VolumeId", str)  # all below: dashed UUIDs
AttachmentId = NewType("AttachmentId", str)
ImageId = NewType("ImageId", str)
NetworkId = NewType("NetworkId", str)
SubnetId = NewType("SubnetId", str)
PortId = NewType("PortId", str)
SecurityGroupId = NewType("SecurityGroupId", str)
SecurityGroupRuleId = NewType("SecurityGroupRuleId", str)
FlavorId = NewType("FlavorId", str)
ServerId = NewType("ServerId", str)

Revision = NewType("Revision", int)  # the applied log index: one number for the whole store
