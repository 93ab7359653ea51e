// Nanoseconds of each call from Node, as a JSON array: reads one context over and over.
// Called as `call.mjs CALLS`; half as many come before, to warm up.

import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const { open } = createRequire(join(process.cwd(), 'package.json'))('mcp-platform')
const calls = Number(process.argv.at(-1))
const dataDir = mkdtempSync(join(tmpdir(), 'mcp-benches-'))
const platform = await open({ dataDir })
await platform.createTenant('bench', 'Bench')
const bench = await platform.tenant(await platform.createKey('bench'))
const { context_id: context } = await bench.createContext()
await bench.append(context, [{ role: 'user', content: 'Where is my order?' }])
const took = []
for (let call = 0; call < calls + Math.floor(calls / 2); call++) {
  const began = process.hrtime.bigint()
  await bench.readContext(context)
  took.push(Number(process.hrtime.bigint() - began))
}
await platform.close()
rmSync(dataDir, { recursive: true })
console.log(JSON.stringify(took.slice(-calls)))
