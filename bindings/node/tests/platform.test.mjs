// What the platform does from Node. bindings/python/tests/test_platform.py has the same cases.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { open } from 'mcp-platform'
import { fixture, folder, modelsDir, opened, tenantOf } from './opened.mjs'

const module = createRequire(import.meta.url).resolve('mcp-platform')

/** Rejects with an Error of this code that carries all an error carries; resolves to it. */
async function rejects(code, call, message = /./) {
  let error
  await assert.rejects(call, (rejected) => (error = rejected) instanceof Error)
  assert.equal(error.code, code, error.message)
  assert.equal(error.name, 'McpPlatformError')
  assert.match(error.message, message)
  assert.ok(['never', 'maybe', 'exhausted'].includes(error.retry) && error.operation && error.details)
  return error
}

test('two tenants call their tools and stay apart', async (t) => {
  const platform = await opened(t)
  const [acme, globex] = [await tenantOf(platform, 'acme'), await tenantOf(platform, 'globex')]
  assert.deepEqual([acme.id, acme.principal, globex.id], ['acme', 'service', 'globex'])
  assert.ok((await acme.listTools()).some((tool) => tool.name === 'fixture__echo'))

  await acme.callTool('fixture__remember', { name: 'plan', value: 'acme buys globex' })
  const ours = await acme.callTool('fixture__recall', { name: 'plan' })
  assert.match(ours.content[0].text, /acme buys globex/)
  const theirs = await globex.callTool('fixture__recall', { name: 'plan' })
  assert.doesNotMatch(JSON.stringify(theirs), /acme buys/)
})

test('a conversation is kept, changed and deleted', async (t) => {
  const platform = await opened(t)
  const [acme, globex] = [await tenantOf(platform, 'acme'), await tenantOf(platform, 'globex')]
  const context = await acme.createContext({ data: { topic: 'orders' }, user_id: 'user-789' })
  const id = context.context_id
  assert.deepEqual([context.tenant_id, context.user_id, context.metadata.version], ['acme', 'user-789', 1])
  const appended = await acme.append(id, [{ role: 'user', content: 'Where is my order?' }], { expectedVersion: 1 })
  assert.deepEqual(appended, { version: 2, first_seq: 1, last_seq: 1 })
  const again = () => acme.append(id, [{ role: 'user', content: '!' }], { idempotencyKey: 'k' })
  assert.deepEqual(await again(), await again())

  const late = acme.append(id, [{ role: 'user', content: 'late' }], { expectedVersion: 1 })
  const stale = await rejects('conflict', late)
  assert.deepEqual([stale.details, stale.retry], [{ current_version: 3 }, 'never'])
  await rejects('conflict', acme.patchContext(id, { topic: null }, 1))
  await rejects('invalid_input', acme.patchContext(id, { conversation_history: [] }, 3), /conversation_history/)
  const patched = await acme.patchContext(id, { topic: null, lang: 'de' }, 3)
  assert.deepEqual([patched.data, patched.metadata.version], [{ lang: 'de' }, 4])

  const read = await acme.readContext(id, 1)
  assert.deepEqual(read.data.conversation_history.map((message) => message.content), ['!'])
  for (const unknown of [id, 'no-such', '../keys', '%2e%2e']) await rejects('not_found', globex.readContext(unknown))
  assert.deepEqual((await globex.listContexts()).items, [])
  assert.deepEqual((await acme.listContexts({ user_id: 'user-789' })).items.map((head) => head.context_id), [id])

  const reader = await tenantOf(platform, 'acme', 'contexts:read')
  await rejects('permission_denied', reader.deleteContext(id), /contexts:write/)
  await rejects('conflict', acme.deleteContext(id, 1))
  await acme.deleteContext(id)
  await rejects('not_found', acme.readContext(id))
})

test('concurrent appends are each there once', async (t) => {
  const acme = await tenantOf(await opened(t), 'acme')
  const { context_id: id } = await acme.createContext()
  const numbers = Array.from({ length: 64 }, (_, n) => n)
  const appended = await Promise.all(numbers.map((n) => acme.append(id, [{ role: 'user', content: `${n}` }])))
  const inOrder = (list) => list.sort((a, b) => a - b)
  assert.deepEqual(inOrder(appended.map((one) => one.first_seq)), numbers.map((n) => n + 1))
  const history = (await acme.readContext(id)).data.conversation_history
  assert.deepEqual(inOrder(history.map((message) => Number(message.content))), numbers)
})

test('what is remembered is recalled by its tenant', async (t) => {
  const platform = await opened(t)
  const [acme, globex] = [await tenantOf(platform, 'acme'), await tenantOf(platform, 'globex')]
  const memory = await acme.remember('user/ann', 'Ann prefers window seats on trains', { from: 'chat' })
  assert.deepEqual([memory.author, memory.metadata], ['service', { from: 'chat' }])
  await acme.remember('user/ann', 'Ann is allergic to peanuts')
  const recalled = await acme.recall('user/ann', 'which seats on a train', 1)
  assert.deepEqual(recalled.items.map((hit) => hit.id), [memory.id])
  assert.deepEqual((await globex.recall('user/ann', 'window seats')).items, [])
  await rejects('invalid_input', acme.remember('ann', 'x'), /namespace/)
})

test('texts are embedded by a local model', async (t) => {
  const platform = await opened(t, { inference: { models_dir: modelsDir() } })
  const acme = await tenantOf(platform, 'acme', 'models:use')
  const [seats, window, peanuts] = await acme.embed(['a seat by the window', 'window seats', 'peanut allergy'])
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0)
  assert.ok(seats.length === 384 && Math.abs(dot(seats, seats) - 1) < 1e-5)
  assert.ok(dot(seats, window) > dot(seats, peanuts))
  assert.deepEqual(await acme.embed(['window seats'], 'minilm'), [window])
  await rejects('not_found', acme.embed(['x'], 'no-such-model'))
  await rejects('invalid_input', acme.embed([]))
  await rejects('permission_denied', (await tenantOf(platform, 'acme', 'tools:call')).embed(['x']), /models:use/)
})

test('JSON crosses as it is', async (t) => {
  const acme = await tenantOf(await opened(t), 'acme')
  const given = { z: 1, a: [1.5, 2 ** 40, null, true], text: 'äöü \u0000 \u{1f600}', nested: { b: {}, a: [] } }
  const result = await acme.callTool('fixture__echo', given)
  assert.deepEqual(result.structuredContent, given)
})

test('refusals have the code of their kind', async (t) => {
  const platform = await opened(t)
  await rejects('already_exists', platform.createTenant('acme', 'again'))
  await rejects('invalid_input', platform.createTenant('Not An Id', 'x'))
  await rejects('not_found', platform.createKey('nobody'), /nobody/)
  await rejects('invalid_input', platform.createKey('acme', { permissions: ['Tools'] }), /area:verb/)
  await rejects('invalid_input', platform.createKey('acme', { permision: [] }), /did you mean `permissions`/)
  const refused = await rejects('unauthenticated', platform.tenant('no such key'))
  assert.equal(refused.retry, 'never')

  const acme = await tenantOf(platform, 'acme', 'tools:call')
  const denied = await rejects('permission_denied', acme.listTools())
  assert.deepEqual(denied.details, { missing_scope: 'tools:list' })
  await rejects('invalid_input', acme.callTool('fixture__nothing'))
  await rejects('invalid_input', acme.callTool('fixture__echo', []), /arguments/)
  await rejects('invalid_input', acme.callTool('fixture__echo', { a: 1n }))
  await rejects('invalid_input', platform.createTenant(1, 2))
})

test('bad settings are named', async (t) => {
  const dataDir = folder(t)
  const refused = await rejects('invalid_input', open({ dataDir, config: { sever: {} } }), /did you mean `server`/)
  assert.deepEqual(refused.details, { field: 'sever', nearest: 'server' })
  await rejects('invalid_input', open({ dataDir, servers: { a: { comand: 'x' } } }), /did you mean `command`/)
  await rejects('invalid_input', open({ datadir: 'x' }), /did you mean `data/)
  writeFileSync(join(dataDir, 'file'), '')
  await rejects('unavailable', open({ dataDir: join(dataDir, 'file') }), /file/)
})

test('a closed platform refuses', async (t) => {
  const platform = await opened(t)
  const acme = await tenantOf(platform, 'acme')
  await platform.close()
  await platform.close()
  await rejects('cancelled', acme.listTools())
  await rejects('cancelled', platform.createTenant('late', 'Late'))
})

test('servers are mounted while it runs', async (t) => {
  const platform = await opened(t)
  const acme = await tenantOf(platform, 'acme')
  await platform.mount('later', fixture)
  await acme.callTool('later__echo', { message: 'hello' })
  await rejects('conflict', platform.mount('fixture', fixture))
  await rejects('invalid_input', platform.mount('a__b', fixture))
  await rejects('upstream', platform.mount('broken', { command: '/bin/true' }))
})

test('many calls at once', async (t) => {
  const acme = await tenantOf(await opened(t), 'acme')
  const numbers = Array.from({ length: 64 }, (_, n) => n)
  const results = await Promise.all(numbers.map((n) => acme.callTool('fixture__echo', { n })))
  assert.deepEqual(results.map((result) => result.structuredContent.n), numbers)
})

test('a slow call holds up no other and ends at the deadline', async (t) => {
  const platform = await opened(t, { server: { request_timeout_seconds: 3, drain_seconds: 1 } })
  const acme = await tenantOf(platform, 'acme')
  await acme.callTool('fixture__echo')
  let over = false
  const slow = acme.callTool('fixture__slow', { ms: 30_000 }).finally(() => (over = true))
  slow.catch(() => {})
  await acme.callTool('fixture__echo')
  assert.equal(over, false)
  const late = await rejects('deadline_exceeded', slow)
  assert.equal(late.retry, 'maybe')
})

test('every kind is a code of the types', () => {
  const types = readFileSync(join(dirname(module), 'index.d.ts'), 'utf8')
  const codes = types.match(/type ErrorCode =([^]*?)\n\n/)[1].match(/'(\w+)'/g).map((code) => code.slice(1, -1))
  const native = createRequire(module)('./mcp-platform.node')
  assert.deepEqual(codes, native._kinds())
})
