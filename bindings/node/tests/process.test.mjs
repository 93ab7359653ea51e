// What belongs to the process: its end, however it comes.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { fixture, folder } from './opened.mjs'

const MARK = 'MCP_PLATFORM_NODE_TEST'
const here = fileURLToPath(new URL('.', import.meta.url))
const program = `
import { open } from 'mcp-platform'
const [dataDir, server, stays] = process.argv.slice(1)
const platform = await open({ dataDir, servers: { fixture: JSON.parse(server) } })
await platform.createTenant('acme', 'Acme')
const acme = await platform.tenant(await platform.createKey('acme'))
await acme.callTool('fixture__echo')
console.log('ready')
if (stays) setInterval(() => {}, 1000)
`

function start(directory, ...more) {
  const server = JSON.stringify({ ...fixture, env: { [MARK]: directory } })
  const given = ['--input-type=module', '-e', program, join(directory, 'data'), server, ...more]
  return spawn(process.execPath, given, { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] })
}

/** The processes that carry the test's mark in their environment. */
function left(directory) {
  const marked = (pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`${MARK}=${directory}`)
    } catch {
      return false
    }
  }
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && marked(name))
}

async function noneLeft(directory) {
  for (let tries = 0; left(directory).length > 0 && tries < 300; tries++) await setTimeout(50)
  assert.deepEqual(left(directory), [])
}

test('a program that forgets to close ends, and its servers with it', async (t) => {
  const directory = folder(t)
  const [code] = await once(start(directory), 'exit')
  assert.equal(code, 0)
  await noneLeft(directory)
})

test('servers end with a program that is killed', async (t) => {
  const directory = folder(t)
  const running = start(directory, 'stays')
  await once(running.stdout, 'data')
  assert.ok(left(directory).length > 0)
  running.kill('SIGKILL')
  await noneLeft(directory)
})

test('the README program runs', async (t) => {
  const directory = folder(t)
  const [written, firstSeen] = ['../README.md', '../../../README.md'].map((readme) => {
    return readFileSync(new URL(readme, import.meta.url), 'utf8').split('```js\n')[1].split('```')[0]
  })
  assert.equal(written, firstSeen)
  symlinkSync(process.env.MCP_NODE_MODULES, join(directory, 'node_modules'))
  const given = ['--input-type=module', '-e', written]
  const { stdout } = await promisify(execFile)(process.execPath, given, { cwd: directory, timeout: 120_000 })
  assert.match(stdout, /hello/)
})
