// Compiled by the tests and never run: what a program in TypeScript may write, and what it may not.

import {
  open,
  type Appended,
  type Context,
  type ContextPage,
  type ErrorCode,
  type McpPlatformError,
  type Memory,
  type Platform,
  type Recalled,
  type Tenant,
  type ToolResult,
} from 'mcp-platform'

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

export async function conversation(acme: Tenant): Promise<void> {
  const made: Context = await acme.createContext({ session_id: 's', data: { open: true } })
  const said = { role: 'user', content: 'hi' } as const
  const appended: Appended = await acme.append(made.context_id, [said], { expectedVersion: 1, idempotencyKey: 'k' })
  const patched: Context = await acme.patchContext(made.context_id, { open: null }, appended.version)
  const read: Context = await acme.readContext(made.context_id, 10)
  const first: number | undefined = read.data.conversation_history?.[0]?.seq
  const page: ContextPage = await acme.listContexts({ user_id: 'ann', limit: 10 })
  const cursor: string | undefined = page.next_cursor
  await acme.deleteContext(made.context_id, patched.metadata.version)

  const memory: Memory = await acme.remember('user/ann', 'Ann likes tea.', { source: 'chat' })
  const recalled: Recalled = await acme.recall('user/ann', 'what does she drink?', 3)
  const score: number | undefined = recalled.items[0]?.score
  const vectors: number[][] = await acme.embed([memory.text], 'minilm')
  console.log(first, cursor, score, recalled.semantic, vectors.length)
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
  // @ts-expect-error a role there is not
  await acme.append('id', [{ role: 'robot', content: 'hi' }])
  // @ts-expect-error an option in another spelling
  await acme.append('id', [], { expected_version: 1 })
  // @ts-expect-error texts are a list
  await acme.embed('text')
}
