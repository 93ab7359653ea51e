// Compiled by the tests and never run: what a program in TypeScript may write, and what it may not.

import { open, type ErrorCode, type McpPlatformError, type Platform, type Tenant, type ToolResult } from 'mcp-platform'

export async function program(): Promise<void> {
  const platform: Platform = await open({ dataDir: 'x', servers: { time: { command: 'x', args: ['y'] } } })
  await platform.mount('search', { type: 'http', url: 'https://search.example.com/mcp' })
  const key: string = await platform.createKey('acme', { permissions: ['tools:call'] })
  const acme: Tenant = await platform.tenant(key)
  const result: ToolResult = await acme.callTool('time__now', { timezone: 'UTC' })
  const text: string | undefined = result.content[0]?.text
  const status: 'active' | 'suspended' = (await platform.createTenant('a', 'A')).status
  console.log(text, status)
}

export function current(error: McpPlatformError): number | undefined {
  const conflict: ErrorCode = 'conflict'
  return error.code === conflict ? error.details.current_version : undefined
}

export async function mistakes(platform: Platform, acme: Tenant): Promise<void> {
  // @ts-expect-error an option there is not
  await open({ datadir: 'x' })
  // @ts-expect-error a permission is not a list
  await platform.createKey('acme', { permissions: 'tools:call' })
  // @ts-expect-error a server without command or URL
  await platform.mount('a', { args: [] })
  // @ts-expect-error arguments are an object
  await acme.callTool('a', 'b')
}
