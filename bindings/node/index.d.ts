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
