// A platform of its own for each test, with the fixture server mounted.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'mcp-platform'

const binary = process.env.MCP_PLATFORM_BIN
if (!binary) throw new Error('MCP_PLATFORM_BIN is not set: `cargo xtask test` builds the binary and sets it')

/** The project's own MCP server for tests: a subcommand of its binary. */
export const fixture = { command: binary, args: ['fixture'] }

/** The folder with the local model that embeds. */
export function modelsDir() {
  const models = process.env.MCP_TEST_MODELS
  if (!models) throw new Error('MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it')
  return models
}

/** A folder that goes away after the test. */
export function folder(test) {
  const path = mkdtempSync(join(tmpdir(), 'mcp-platform-'))
  test.after(() => rmSync(path, { recursive: true }))
  return path
}

/** Opens a platform with the tenants acme and globex, closed after the test. */
export async function opened(test, config = {}) {
  const options = { servers: { fixture }, config: { server: { drain_seconds: 1 }, ...config } }
  const platform = await open({ dataDir: join(folder(test), 'data'), ...options })
  test.after(() => platform.close())
  for (const tenant of ['acme', 'globex']) await platform.createTenant(tenant, tenant)
  return platform
}

/** The tenant with a new key. */
export async function tenantOf(platform, tenant, ...permissions) {
  return platform.tenant(await platform.createKey(tenant, permissions.length ? { permissions } : undefined))
}
