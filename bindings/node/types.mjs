// Writes index.d.ts from what the macros of the Rust sources say, or with `--check` compares it. `cargo xtask test`
// runs it; it needs @napi-rs/cli in a folder named by MCP_NODE_TOOLS and leaves building to cargo.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const tools = process.env.MCP_NODE_TOOLS
if (!tools) throw new Error('MCP_NODE_TOOLS is not set: `cargo xtask test` installs the tools and sets it')
const { generateTypeDef } = createRequire(join(tools, 'package.json'))('@napi-rs/cli')

const said = mkdtempSync(join(tmpdir(), 'mcp-platform-types-'))
try {
  // The macros run only where the crate is compiled, so it is, whether or not it changed.
  const env = { ...process.env, NAPI_TYPE_DEF_TMP_FOLDER: said, NAPI_FORCE_BUILD_MCP_PLATFORM_NODE: said }
  const cargo = process.env.CARGO ?? 'cargo'
  const built = spawnSync(cargo, ['build', '--locked', '--lib'], { cwd: here, env, stdio: 'inherit' })
  if (built.status !== 0) throw new Error('the module does not build')
  const { dts } = await generateTypeDef({ typeDefDir: said, cwd: here, dtsHeaderFile: 'shapes.d.ts' })
  const file = join(here, 'index.d.ts')
  if (!process.argv.includes('--check')) {
    writeFileSync(file, dts)
  } else if (readFileSync(file, 'utf8') !== dts) {
    throw new Error('index.d.ts is not what the sources say: run `node bindings/node/types.mjs` and look at the change')
  }
} finally {
  rmSync(said, { recursive: true })
}
