"""Security groups and their rules: Neutron's `security-groups` and `security-group-rules`."""

from net.endpoint import NETWORK
from net.security_groups import commands, model
from net.security_groups.api import ROUTES
from noded.core.service import Service

SERVICE = Service(
    name="net.security_groups",
    endpoint=NETWORK,
    records=(model.SecurityGroup, model.SecurityGroupRule, model.SecurityGroupUse),
    commands=(
        commands.CreateSecurityGroup,
        commands.EnsureDefaultGroup,
        commands.UpdateSecurityGroup,
        commands.DeleteSecurityGroup,
        commands.CreateSecurityGroupRule,
        commands.DeleteSecurityGroupRule,
    ),
    routes=ROUTES,
)
