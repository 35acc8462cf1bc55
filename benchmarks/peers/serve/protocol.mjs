/**
 * The command loop of the serving benchmark's programs in Node, ours included: one JSON line in, one JSON line out, idle in between.
 *
 *   {command: 'open', id, setting}       loads a setting under an id
 *   {command: 'embed', id, first, count} texts from `mixed`, text to vector → {seconds}
 *   {command: 'query', id, first, count} single texts from `queries`, one after the other → {milliseconds: […]}
 *   {command: 'vectors', id, set, count, file} vectors of the first texts of a set, written as float32 → {dimension}
 *   {command: 'memory'} → {peakRssBytes}
 *   {command: 'quit'}
 *
 * peers/sentence_transformers_serve.py speaks the same.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

function answer(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function peakRssBytes() {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024
}

/** The arguments that the driver gives every program: `--texts FILE --threads N --folder DIR`. */
export function programArguments(list = process.argv.slice(2)) {
  const named = (name) => list[list.indexOf(`--${name}`) + 1]
  return { texts: named('texts'), threads: Number(named('threads')), folder: named('folder') }
}

/** `open(setting)` resolves to `embed(texts)`, which resolves to one Float32Array per text, in their order. */
export async function serve(open, { texts, facts }) {
  const sets = JSON.parse(readFileSync(texts, 'utf8'))
  const opened = new Map()
  const handlers = {
    async open({ id, setting }) {
      opened.set(id, await open(setting))
      return { opened: id }
    },
    async embed({ id, first, count }) {
      const slice = sets.mixed.slice(first, first + count)
      const start = performance.now()
      const vectors = await opened.get(id)(slice)
      const seconds = (performance.now() - start) / 1000
      if (vectors.length !== count) throw new Error(`${vectors.length} vectors came of ${count} texts`)
      return { seconds }
    },
    async query({ id, first, count }) {
      const milliseconds = []
      for (let index = first; index < first + count; index++) {
        const text = [sets.queries[index % sets.queries.length]]
        const start = performance.now()
        await opened.get(id)(text)
        milliseconds.push(performance.now() - start)
      }
      return { milliseconds }
    },
    async vectors({ id, set, count, file }) {
      const vectors = await opened.get(id)(sets[set].slice(0, count))
      const dimension = vectors[0].length
      const all = new Float32Array(vectors.length * dimension)
      vectors.forEach((vector, row) => {
        all.set(vector, row * dimension)
      })
      writeFileSync(file, all)
      return { dimension }
    },
    async memory() {
      return { peakRssBytes: peakRssBytes() }
    },
  }
  answer({ ready: true, ...facts })
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    if (request.command === 'quit') break
    answer(await handlers[request.command](request))
  }
  process.exit(0)
}

/** Runs `embedBatch` over texts sorted by length, longest first, `size` at a time; results in input order. */
export async function inSortedBatches(items, lengthOf, batches, embedBatch) {
  const order = items.map((_, index) => index).sort((a, b) => lengthOf(items[b]) - lengthOf(items[a]))
  const vectors = new Array(items.length)
  for (let first = 0; first < order.length; ) {
    let count = 1
    const longest = lengthOf(items[order[first]])
    // A batch costs its longest text times its rows, padding included.
    const rows = batches.texts ?? Math.max(1, Math.floor(batches.tokens / longest))
    count = Math.min(rows, order.length - first)
    const places = order.slice(first, first + count)
    const made = await embedBatch(places.map((place) => items[place]))
    places.forEach((place, row) => {
      vectors[place] = made[row]
    })
    first += count
  }
  return vectors
}
