'use strict'

const native = require('./mcp-platform.node')

// What Node-API refuses, before the platform sees it, rejects like everything else and with the platform's code.
function rejecting(method) {
  return async function (...given) {
    try {
      return await method.apply(this, given)
    } catch (error) {
      if (error.name === 'McpPlatformError') throw error
      const told = { code: 'invalid_input', retry: 'never', operation: 'binding.arguments', details: {} }
      throw Object.assign(error, told, { name: 'McpPlatformError' })
    }
  }
}

for (const { prototype } of [native.Platform, native.Tenant]) {
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof value === 'function' && name !== 'constructor') prototype[name] = rejecting(value)
  }
}

// Each name by itself, so that `import { open } from 'mcp-platform'` finds it.
module.exports.open = rejecting(native.open)
module.exports.Platform = native.Platform
module.exports.Tenant = native.Tenant
