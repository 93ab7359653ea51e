//! What each setting means: printed by `mcp-platform config`, compared with the settings by a test.

/// Path of each setting and its meaning.
pub(super) const DOCS: &[(&str, &str)] = &[
    ("server.listen", "Address of the API and the MCP endpoint. Port 0 takes a free one."),
    ("server.operations_listen", "Address of /metrics and the detailed /ready. Keep it private."),
    (
        "server.public_url",
        "URL under which clients reach the platform; issuer and audience of its tokens. Empty: http(s)://<listen>.",
    ),
    ("server.tls_cert", "PEM file with the certificate chain; reloaded when it changes. Empty: no TLS."),
    ("server.tls_key", "PEM file with the private key of tls_cert."),
    (
        "server.client_certificates",
        "Client certificates, which count as credentials once registered: `off`, `optional` or `required`.",
    ),
    (
        "server.client_ca",
        "PEM file with the authorities that client certificates must come from; reloaded when it changes.",
    ),
    (
        "server.client_crl",
        "PEM files with revocation lists of the authorities of client_ca; reloaded when they change.",
    ),
    ("server.cors_origins", "Origins of browser clients that may call, or [\"*\"]."),
    ("server.max_connections", "Open connections; further ones wait in the listen queue."),
    ("server.max_running", "Requests that run at once; an event stream counts until it begins."),
    ("server.max_waiting", "Requests that wait for their turn; further ones get 503."),
    ("server.request_timeout_seconds", "Time until a response must have begun; then 504."),
    ("server.operator_requests_per_minute", "Requests in any minute with one operator key; then 429."),
    ("server.drain_seconds", "Time that calls in flight get to end at shutdown."),
    ("data.dir", "Directory of the embedded databases, keys and audit checkpoints."),
    ("data.tenants_file", "YAML file with tenants to create or update at start. Empty: none."),
    ("database.backend", "`sqlite` (embedded) or `postgres`."),
    ("database.url", "Postgres: URL of the app role, which owns nothing."),
    ("database.owner_url", "Postgres: URL of the owner role, which migrates and makes room for tenants."),
    (
        "database.relay_url",
        "Postgres: URL of the role that reads outbox and audit log of all tenants and seals the latter. Empty: the owner's.",
    ),
    (
        "database.tenant_database_prefix",
        "Postgres: what the names of tenants' own databases begin with; one for each platform on a server.",
    ),
    (
        "database.named_statements",
        "Postgres: prepare often used statements once a connection. Faster; not through a pooler that shares sessions, \
         as PgBouncer before 1.21 does.",
    ),
    (
        "database.isolation",
        "How tenants are kept apart: `auto` (SQLite: database, Postgres: row), `row`, `schema` or `database`.",
    ),
    ("database.tier_isolation", "Isolation by tenant tier: `regulated = \"database\"`."),
    (
        "auth.token_seconds",
        "Life of a token that the platform issues, where none is asked for; at most 86400.",
    ),
    (
        "auth.token_algorithm",
        "What the tokens of new tenants, and after a rotation all, are signed with: `EdDSA`, `ES256` or `RS256`.",
    ),
    ("auth.refresh_seconds", "Life of a lineage of refresh tokens, however often it is used."),
    (
        "auth.refresh_grace_seconds",
        "A refresh token that was just replaced answers with its successor again for this long.",
    ),
    ("auth.keys_per_tenant", "API keys that can be used that a tenant may have."),
    (
        "auth.master_key_file",
        "File with the key that seals signing keys; made when missing. Empty: master.key in data.dir.",
    ),
    (
        "auth.authorization_servers",
        "Issuers that the protected-resource metadata names (RFC 9728), for clients to choose from.",
    ),
    ("auth.scopes", "Permissions that refused clients are told to ask for first."),
    (
        "auth.issuer_ca",
        "PEM file with the authorities that foreign issuers' servers must come from. Empty: the public web's.",
    ),
    ("auth.issuer_timeout_seconds", "Longest exchange with a foreign issuer."),
    (
        "auth.issuer_keys_stale_seconds",
        "How old a foreign issuer's keys may become while it is away; then its tokens are refused.",
    ),
    (
        "auth.introspection_seconds",
        "How long an issuer's word that an opaque token is active holds: a revocation there takes as long.",
    ),
    (
        "audit.key_file",
        "File with the key that signs audit checkpoints; made when missing. Empty: audit.key in data.dir.",
    ),
    (
        "audit.checkpoints_file",
        "File that signed checkpoints are appended to, outside of the database. Empty: audit-checkpoints.jsonl in data.dir.",
    ),
    (
        "audit.syslog.address",
        "host:port of a syslog receiver over TLS that gets the audit log as it grows. Empty: none.",
    ),
    ("audit.syslog.server_name", "Name in its certificate. Empty: the host of address."),
    ("audit.syslog.ca", "PEM file with the certificates that vouch for it."),
    ("audit.syslog.client_cert", "PEM file with our certificate chain, where it asks for one."),
    ("audit.syslog.client_key", "PEM file with the private key of client_cert."),
    (
        "audit.syslog.receipt",
        "What says that it has a page: `close_notify` as RFC 5425 demands, or `closed` for receivers that just hang up, such as rsyslog.",
    ),
    ("audit.syslog.hostname", "HOSTNAME of the messages."),
    ("audit.syslog.enterprise", "Private enterprise number in the messages. 32473 is that of examples."),
    (
        "audit.syslog.positions_dir",
        "Directory that keeps how far it has come; replicas share it. Empty: audit-positions in data.dir.",
    ),
    ("context.message_bytes", "Bytes of a message: its content and metadata as JSON."),
    ("context.messages_per_append", "Messages in one append."),
    ("context.data_bytes", "Bytes of a context's data, and of a patch, as JSON; at most 131072."),
    (
        "context.vectors_bytes",
        "Memory for the vectors of memories that are being recalled; what was not used for longest goes first.",
    ),
    ("events.retention_seconds", "How long published events are kept for `/api/v1/events`."),
    ("events.streams_per_tenant", "Open event streams of one tenant; a further one gets 429."),
    ("fleet.file", "MCP servers in the standard `.mcp.json` format. A missing default file means none."),
    (
        "fleet.idle_seconds",
        "A stdio server that nobody called for this long is stopped, and started again on the next call.",
    ),
    ("fleet.processes_per_tenant", "Stdio servers that run at once for one tenant."),
    ("fleet.processes", "Stdio servers that run at once."),
    ("releases.dir", "Directory of the releases of added servers. Empty: releases in data.dir."),
    ("releases.npm_registry", "npm registry that servers and their dependencies come from."),
    ("releases.pypi_index", "Python index that servers and their dependencies come from."),
    ("releases.node", "Node: a path, or a name looked for in PATH. It runs servers from npm."),
    ("releases.npm", "npm: a path, or a name looked for in PATH. It installs them."),
    (
        "releases.python",
        "Python: a path, or a name looked for in PATH. It installs and runs servers from PyPI.",
    ),
    ("releases.install_seconds", "Longest run of npm or pip."),
    (
        "releases.compare_seconds",
        "How often a replica looks for what another one added, switched or removed.",
    ),
    (
        "tenants.grace_days",
        "How long a deleted tenant can be restored, where the deletion does not say; at most 3650.",
    ),
    ("tenants.erase_interval_seconds", "How often deleted tenants are looked for whose grace has passed."),
    (
        "tenants.settle_seconds",
        "How long an erasure waits after it closed a tenant's database, for replicas that have not heard; not below 90 with several.",
    ),
    (
        "tenants.regions",
        "Regions whose tenants' data lives in data.dir or the databases above. Tenants of others are refused.",
    ),
    (
        "tenants.region_directories",
        "SQLite: further regions, each with the directory of its tenants' data: `eu-west-1 = \"/mnt/eu\"`.",
    ),
    (
        "tenants.region_databases",
        "Postgres: further regions, each with url, owner_url and relay_url as in [database], where its tenants' data lives.",
    ),
    (
        "gateway.prefix",
        "Names of tools and prompts: `always` with their server's (everything__echo), on `conflict`, or `never`.",
    ),
    ("gateway.body_limit", "Largest request in bytes; a larger one gets 413."),
    ("gateway.call_timeout_seconds", "Longest call to a server."),
    (
        "gateway.list_timeout_seconds",
        "Longest time a server may take for its part of a list; it is left out then.",
    ),
    (
        "gateway.list_ttl_seconds",
        "How long a server's lists are kept, unless it says earlier that they changed.",
    ),
    ("gateway.list_cache_bytes", "Memory for cached lists."),
    ("gateway.list_items", "Most items a server may list; one with more is left out."),
    ("gateway.page_size", "Items on one page of a list."),
    ("gateway.allowed_origins", "Origins a browser may call from beside the endpoint's own."),
    (
        "gateway.allowed_hosts",
        "Values of Host that are served. Empty: every one, or on a loopback address its names and public_url's.",
    ),
    ("gateway.sessions.idle_seconds", "A session without a request for this long ends."),
    ("gateway.sessions.per_tenant", "Sessions of one tenant; a further one ends its longest unused."),
    (
        "gateway.sessions.total",
        "Sessions of all tenants; a further one ends one of the tenant that has most.",
    ),
    ("gateway.sessions.calls_per_session", "Calls in flight in one session."),
    ("gateway.sessions.streams_per_session", "Open streams of one session."),
    ("gateway.sessions.streams_per_tenant", "Open streams of one tenant."),
    (
        "gateway.sessions.subscriptions_per_session",
        "Resources that one session, or one stream of a client without, subscribes to.",
    ),
    (
        "inference.models_dir",
        "Folder of local models, a folder each. Empty: mcp-platform/models in the user's cache, where that is there.",
    ),
    (
        "inference.embedder",
        "Local model that embeds what is remembered. Empty: the first by name that embeds.",
    ),
    ("inference.threads", "Threads that compute local models. 0: one a core."),
    ("inference.queue", "Computations that wait for a thread; further ones get 503."),
    (
        "limits.redis_url",
        "`redis://[user:password@]host[:port][/database]`: replicas share their limits there. Empty: each limits for itself.",
    ),
    ("limits.redis_prefix", "Begins every key in Redis; one for each platform that shares it."),
    ("limits.redis_timeout_millis", "Longest wait for Redis; then this replica limits for itself."),
    (
        "limits.divide_by",
        "By how much limits are divided while Redis is away: the number of replicas keeps their sum, 1 lets each have the whole.",
    ),
    (
        "limits.requests_at_once",
        "Requests of one tenant that run at once on one replica; a further one gets 429.",
    ),
    ("limits.principal_per_minute", "Requests a minute of each principal. 0: no limit."),
    ("limits.key_per_minute", "Requests a minute of each API key. 0: no limit."),
    (
        "limits.tool_per_minute",
        "Calls a minute of each tenant of each tool without an entry in limits.tools. 0: no limit.",
    ),
    (
        "limits.routes",
        "Requests a minute of each tenant to some routes: `[{ path = \"/v1/chat\", method = \"POST\", per_minute = 30 }]`.",
    ),
    (
        "limits.tools",
        "Calls a minute of each tenant of single tools, by server and name: `search__web = 10`.",
    ),
    ("log.format", "`text` or `json`."),
    ("log.filter", "Levels: `info,mcp_automation=debug`."),
    (
        "pii.tool_results",
        "What becomes of personal data and secrets in what servers answer: `off`, `mask`, `hash` or `refuse`.",
    ),
    (
        "pii.contexts",
        "The same in contexts and memories, before they are stored; what is there already stays.",
    ),
    ("pii.logs", "The same in the platform's log; `refuse` withholds the line."),
    ("pii.tenants", "Both pii.tool_results and pii.contexts of single tenants: `acme = \"hash\"`."),
    (
        "pii.hash_key_file",
        "File with the key of hashes, the base64 of 32 bytes, the same for all replicas. Empty: a new one at each start.",
    ),
    (
        "policy.rego",
        "Whether tenants may write policies in Rego, too; their time is limited, their memory is not.",
    ),
    (
        "policy.opa_url",
        "Address of an Open Policy Agent that must allow what tenants' policies allow. Empty: none.",
    ),
    ("policy.opa_path", "The document that decides there; may name the tenant: `tenants/{tenant}/authz`."),
    ("policy.opa_revision", "Which revision of policies it has; a new one forgets all decisions."),
    ("policy.opa_timeout_millis", "Longest wait for its answer; then nobody gets in."),
    ("policy.opa_remember_seconds", "How long its decisions are remembered."),
    ("policy.opa_token_file", "File with the bearer token that it asks for. Empty: none."),
    ("policy.opa_ca", "PEM file with the certificates that vouch for it. Empty: those of the public web."),
    ("providers.name", "A provider of chat models, by which routes refer to it."),
    ("providers.base_url", "Where its OpenAI-compatible API begins: https://api.openai.com/v1."),
    ("providers.api_key", "`${VARIABLE}`, the environment variable with its key. Empty: none."),
    ("providers.api_key_file", "File with its key, in place of api_key."),
    ("providers.connect_timeout_seconds", "Longest time for a connection to it."),
    ("providers.first_byte_timeout_seconds", "Longest time until its answer begins."),
    ("providers.idle_timeout_seconds", "Longest pause in its answer."),
    ("providers.total_timeout_seconds", "Longest time for a whole answer, streams included."),
    ("providers.stream_usage", "Whether it takes `stream_options`, by which streams end with their tokens."),
    ("routes.model", "What callers may name as `model`."),
    ("routes.chain", "Who answers, asked in this order: `[{ provider = \"main\", model = \"gpt-4o\" }]`."),
    (
        "vault.backend",
        "What wraps the data keys of tenants: the `master_key`, or HashiCorp Vault's `transit` engine.",
    ),
    (
        "vault.earlier",
        "A vault that still opens what it wrapped, while moving: `none`, `master_key` or `transit`.",
    ),
    ("vault.older_master_key_files", "Files with earlier master keys, which still open what they wrapped."),
    ("vault.address", "transit: URL of Vault without a path: https://vault.internal:8200."),
    ("vault.mount", "transit: where the engine is mounted."),
    ("vault.key", "transit: name of the wrapping key."),
    ("vault.namespace", "transit: namespace, for Vault Enterprise. Empty: none."),
    ("vault.token", "transit: `${VARIABLE}`, the environment variable with the token. Empty: none."),
    ("vault.token_file", "transit: file with the token, in place of token; read again every five seconds."),
    (
        "vault.ca",
        "transit: PEM file with the certificates that vouch for it. Empty: those of the public web.",
    ),
    (
        "vault.ttl_seconds",
        "How long an open data key is used before the vault is asked again: a refusal there takes as long.",
    ),
    (
        "vault.hold_seconds",
        "How long an open data key goes on while the vault is away; then what it seals is closed.",
    ),
    ("vault.timeout_millis", "Longest wait for an answer of the vault; then it counts as away."),
];

/// The meaning of one setting.
pub(super) fn of(path: &str) -> Option<&'static str> {
    DOCS.iter().find(|(known, _)| *known == path).map(|(_, meaning)| *meaning)
}
