# What holds without a policy: a permission is all it takes. Begin with this one and add to it.
package mcp.authz

default allow := false

allow if input.permitted
