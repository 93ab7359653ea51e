// The shapes of results, which are plain objects; what follows them is generated from the Rust sources.

/** What a call throws or its promise is rejected with. */
export interface McpPlatformError extends Error {
  name: 'McpPlatformError'
  /** What went wrong, coarsely: what a caller branches on. */
  code: ErrorCode
  /** Where it went wrong, `crate.verb`. */
  operation: string
  /** Whether the same call may be tried again. */
  retry: 'never' | 'maybe' | 'exhausted'
  /** What a program can act on. */
  details: ErrorDetails
}

export type ErrorCode =
  | 'invalid_input'
  | 'unauthenticated'
  | 'permission_denied'
  | 'not_found'
  | 'already_exists'
  | 'conflict'
  | 'too_large'
  | 'rate_limited'
  | 'unsupported'
  | 'deadline_exceeded'
  | 'cancelled'
  | 'unavailable'
  | 'upstream'
  | 'corrupted'
  | 'internal'

export interface ErrorDetails {
  /** The version that is stored now, where another was expected. */
  current_version?: number
  /** Seconds to wait before trying again. */
  retry_after?: number
  /** The field at fault, and the nearest known one. */
  field?: string
  nearest?: string
  missing_scope?: string
  limit_bytes?: number
  server?: string
  limit?: number
  remaining?: number
  reset?: number
}

/** What a platform is opened with. */
export interface OpenOptions {
  /** Where its files live. Default: `mcp-platform-data`. */
  dataDir?: string
  /** Sections and keys of the configuration file; `mcp-platform config` prints them. */
  config?: Record<string, Record<string, unknown>>
  /** The MCP servers, as `mcpServers` in `.mcp.json`. */
  servers?: Record<string, McpServer>
  /** The command that stdio servers are started by. Default: this Node. */
  launcher?: string[]
}

/** What a key is made with. */
export interface KeyOptions {
  /** The key's name for people. Default: `key`. */
  name?: string
  /** As whom its holder acts. Default: `service`. */
  principal?: string
  /** What its holder may do, `area:verb` or `*`. Default: `['*']`. */
  permissions?: string[]
}

/** A tenant as it is stored. */
export interface TenantInfo {
  id: string
  name: string
  features: string[]
  limits: { requests_per_minute: number; concurrent_contexts: number }
  tier: string
  region: string
  status: 'active' | 'suspended'
  schema: string
  created_at: string
  updated_at: string
  version: number
}

/** An entry of `mcpServers` in `.mcp.json`: a process or a URL. */
export type McpServer =
  | {
      type?: 'stdio'
      command: string
      args?: string[]
      env?: Record<string, string>
      cwd?: string
      stateless?: boolean
      timeoutSeconds?: number
    }
  | {
      type?: 'http' | 'streamable-http'
      url: string
      headers?: Record<string, string>
      stateless?: boolean
      timeoutSeconds?: number
    }

/** What a context is made from; each member may be missing. */
export interface NewContext {
  user_id?: string
  session_id?: string
  data?: Record<string, unknown>
}

/** Which contexts. */
export interface ContextFilter {
  user_id?: string
  session_id?: string
  /** `next_cursor` of the page before. */
  cursor?: string
  /** 1 to 200. Default: 50. */
  limit?: number
}

/** A context without its data. */
export interface ContextHead {
  context_id: string
  tenant_id: string
  user_id: string
  session_id: string | null
  metadata: { created_at: string; updated_at: string; version: number; messages: number }
}

/** A context. Its messages are `data.conversation_history`. */
export interface Context extends ContextHead {
  data: { conversation_history?: Message[]; [field: string]: unknown }
}

/** A page of contexts. */
export interface ContextPage {
  items: ContextHead[]
  next_cursor?: string
}

/** A message to be appended; its content is a text, or a list of parts. */
export interface NewMessage {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string | Array<Record<string, unknown>>
  metadata?: Record<string, unknown>
}

/** A message of a context. */
export interface Message extends NewMessage {
  seq: number
  author: string
  created_at: string
}

/** How messages are appended. */
export interface AppendOptions {
  /** To this version alone. Default: to any. */
  expectedVersion?: number
  /** Once for this key. */
  idempotencyKey?: string
}

/** What an append came to. */
export interface Appended {
  version: number
  first_seq: number
  last_seq: number
}

/** A text that is remembered. */
export interface Memory {
  id: string
  namespace: string
  text: string
  metadata?: Record<string, unknown>
  author: string
  created_at: string
}

/** What was recalled, best first, and whether meanings were compared or words alone. */
export interface Recalled {
  items: Array<Memory & { score: number }>
  semantic: boolean
  note?: string
}

/** A tool as MCP describes it. */
export interface Tool {
  name: string
  description?: string
  inputSchema: Record<string, unknown>
  outputSchema?: Record<string, unknown>
}

/** A tool's result as MCP describes it. */
export interface ToolResult {
  content: Array<{ type: string; text?: string; [member: string]: unknown }>
  structuredContent?: unknown
  isError?: boolean
}

/** A platform, as its operator. `open()` makes one; close it before the process ends. */
export declare class Platform {
  /** Creates a tenant with default limits. */
  createTenant(id: string, name: string): Promise<TenantInfo>
  /**
   * Creates an API key and resolves to its text, which is shown now and never again.
   *
   * Rejects with `not_found` if there is no such tenant.
   */
  createKey(tenant: string, options?: KeyOptions): Promise<string>
  /**
   * Mounts an MCP server for all tenants until the platform is closed; mounting again replaces it.
   *
   * It is started and its tools are listed before calls go there. Rejects with `upstream` and the reason where
   * that fails.
   */
  mount(name: string, server: McpServer): Promise<void>
  /**
   * The tenant that a key belongs to, as the key's principal.
   *
   * Rejects with `unauthenticated` for a key that is none or was revoked.
   */
  tenant(key: string): Promise<Tenant>
  /** Lets tool calls in flight end, stops the servers and closes the databases. Twice is once. */
  close(): Promise<void>
}

/**
 * A tenant, as the principal of the key it was opened with, which is looked at again in each call.
 *
 * Each call rejects, beside what it says itself, with `unauthenticated` once the key is revoked,
 * `permission_denied` without the permission or once the tenant is suspended, `rate_limited`,
 * `deadline_exceeded`, and `cancelled` once the platform is closed.
 */
export declare class Tenant {
  /** The tenant's id. */
  get id(): string
  /** As whom the calls are made. */
  get principal(): string
  /** Creates a context: a conversation, and the data around it. Without `user_id` it is the principal's. */
  createContext(context?: NewContext): Promise<Context>
  /** The context with its newest messages, 100 by default. Rejects with `not_found`. */
  readContext(id: string, messages?: number | undefined | null): Promise<Context>
  /** A page of contexts without their data, latest created first; `next_cursor` where there are more. */
  listContexts(filter?: ContextFilter): Promise<ContextPage>
  /**
   * Appends messages, all or none; once for an idempotency key.
   *
   * Rejects with `conflict` and the `current_version` where another was expected.
   */
  append(id: string, messages: Array<NewMessage>, options?: AppendOptions): Promise<Appended>
  /**
   * Merges a patch into the context's data (RFC 7396): null removes, objects are merged, the rest replaces.
   *
   * Rejects with `conflict` and the `current_version` where it is another.
   */
  patchContext(id: string, patch: Record<string, unknown>, expectedVersion: number): Promise<Context>
  /** Deletes the context and its messages, in any version where none is expected. */
  deleteContext(id: string, expectedVersion?: number | undefined | null): Promise<void>
  /** Remembers a text in a namespace: `user/…`, `agent/…` or `session/…`. The same text is there once. */
  remember(namespace: string, text: string, metadata?: Record<string, unknown>): Promise<Memory>
  /** What of a namespace is nearest to a query, best first; 10 by default, at most 100. */
  recall(namespace: string, query: string, limit?: number | undefined | null): Promise<Recalled>
  /** The vectors of texts, by a local model or by the first that embeds. Rejects with `not_found` without one. */
  embed(texts: Array<string>, model?: string | undefined | null): Promise<Array<Array<number>>>
  /** The tools of the tenant's MCP servers; names begin with the server's, as in `time__now`. */
  listTools(): Promise<Array<Tool>>
  /**
   * Calls a tool. One that ran and failed is a result with `isError`, not a rejection.
   *
   * Rejects with `invalid_input` for a tool there is not, `upstream` where its server fails.
   */
  callTool(name: string, arguments?: Record<string, unknown>): Promise<ToolResult>
}

/**
 * Opens a platform in this process.
 *
 * Rejects with `invalid_input` that names the setting, `unavailable` where the data cannot be opened.
 */
export declare function open(options?: OpenOptions): Promise<Platform>
