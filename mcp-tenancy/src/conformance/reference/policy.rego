package mcp.reference

default allow := false

allow if {
    "viewer" in input.user_roles
    input.action == "contexts:read"
}

allow if "admin" in input.user_roles

locked := object.get(input.resource.attributes, "locked", false)

deny contains "locked-is-read-only" if {
    locked == true
    input.action == "contexts:write"
}

deny contains "locked-is-no-boolean" if not is_boolean(locked)
