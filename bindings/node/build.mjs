// Builds the module with cargo and puts it beside index.js: what `npm install` runs. It needs a Rust toolchain and
// nothing from npm. CARGO_TARGET_DIR is obeyed; MCP_PLATFORM_PROFILE is the cargo profile, `release` by default.

import { spawnSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const profile = process.env.MCP_PLATFORM_PROFILE ?? 'release'
const cargo = process.env.CARGO ?? 'cargo'

const build = spawnSync(
  cargo,
  ['build', '--locked', '--lib', '--profile', profile, '--message-format=json-render-diagnostics'],
  { cwd: here, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] },
)
if (build.error) {
  console.error(`mcp-platform is built from source and needs Rust (https://rustup.rs): ${build.error.message}`)
  process.exit(1)
}
if (build.status !== 0) process.exit(build.status ?? 1)

const built = build.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .find((said) => said.reason === 'compiler-artifact' && said.target.name === 'mcp_platform_node')
const module = join(here, 'mcp-platform.node')
// Renamed into place, so that a process that has the old one loaded keeps it.
copyFileSync(built.filenames[0], `${module}.new`)
renameSync(`${module}.new`, module)
