package mcp.reference

import future.keywords.in

default allow = false

allow {
    "viewer" in input.user_roles
    input.action == "contexts:read"
}

allow {
    "admin" in input.user_roles
}

locked = object.get(input.resource.attributes, "locked", false)

deny["locked-is-read-only"] {
    locked == true
    input.action == "contexts:write"
}

deny["locked-is-no-boolean"] {
    not is_boolean(locked)
}
