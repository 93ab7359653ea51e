package mcp.authz

import future.keywords.in

default allow = false

# Allow access if user has valid tenant access
allow {
    input.method == "GET"
    input.tenant_id in data.user_tenants[input.user_id]
    input.resource_type == "context"
}

# Admin users can access all tenants
allow {
    input.user_role == "admin"
}

# Deny if tenant is suspended
deny {
    data.suspended_tenants[input.tenant_id]
}
