/**
 * Uses a model while its weights file suffers. `cut FOLDER OTHER`: prints whether answers stay the same after each damage.
 * `hold FOLDER FILE`: loads, says so in FILE.<pid>, waits for a second process, prints what /proc says of the weights' memory.
 */
import { copyFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadModel } from '../../lib/model/index.js'
import { smallBatch } from './small-model.js'

const [mode, folder, other] = process.argv.slice(2)
const load = async (path: string) => (await loadModel(path, { device: 'cpu', inference: true })).model

async function cut(): Promise<void> {
  const weights = join(folder, 'model.safetensors')
  const whole = readFileSync(weights)
  const model = await load(folder)
  // Not touched by any answer yet, where weights are read lazily.
  const batch = smallBatch(9, [30, 20])
  const first = await (await load(other)).embed(batch)
  truncateSync(weights, 100)
  const before = await model.embed(batch)
  const same = async () => Buffer.from((await model.embed(batch)).buffer).equals(Buffer.from(before.buffer))
  const result: Record<string, unknown> = { truncated: before.every(Number.isFinite) && (await same()) }
  writeFileSync(weights, Buffer.alloc(whole.length, 0xff))
  result.overwritten = await same()
  rmSync(weights)
  copyFileSync(join(other, 'model.safetensors'), weights)
  result.replaced = await same()
  const again = await load(folder)
  result.reloaded = Buffer.from((await again.embed(batch)).buffer).equals(Buffer.from(first.buffer))
    ? 'differs'
    : 'stale'
  rmSync(weights)
  result.deleted = await same()
  writeFileSync(weights, whole.subarray(0, whole.length - 4))
  result.damaged = await load(folder).then(
    () => 'loaded',
    (error) => error.code,
  )
  process.stdout.write(JSON.stringify(result))
}

/** Bytes of the shared weights in this process. */
function memory(): Record<string, number> {
  const sums: Record<string, number> = { size: 0, rss: 0, pss: 0 }
  let counts = false
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) counts = line.includes('stratabert-weights')
    const [, name, kilobytes] = /^(Size|Rss|Pss): +(\d+) kB/.exec(line) ?? []
    if (counts && name) sums[name.toLowerCase()] += Number(kilobytes) * 1024
  }
  return sums
}

async function hold(): Promise<void> {
  const model = await load(folder)
  await model.embed(smallBatch(1, [8]))
  const [place, prefix] = [dirname(other), basename(other)]
  const count = (suffix: string) => readdirSync(place).filter((name) => name.startsWith(`${prefix}.${suffix}`)).length
  writeFileSync(`${other}.up.${process.pid}`, '')
  for (let i = 0; i < 3000 && count('up') < 2; i++) await sleep(10)
  const result = memory()
  writeFileSync(`${other}.seen.${process.pid}`, '')
  for (let i = 0; i < 3000 && count('seen') < 2; i++) await sleep(10)
  await model.dispose()
  process.stdout.write(JSON.stringify(result))
}

void (mode === 'cut' ? cut() : hold())
