/**
 * Search by meaning: the vectors of a file's sentences stand in a SQLite database (libsql: SQLite with vector columns, in this
 * process); a query finds the nearest by an exact scan, off the event loop.
 *
 * Usage: npx tsx examples/semantic-search.ts CHECKPOINT SENTENCES.txt STORE.db QUERY [QUERY …]
 *   The first run fills the store, a sentence a line; later runs take it as it is.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import Database from 'libsql/promise'
import { Encoder } from '../lib/index.js' // yours: from 'stratabert'

async function* sentencesOf(file: string): AsyncGenerator<string> {
  for await (const line of createInterface({ input: createReadStream(file) })) if (line.trim()) yield line.trim()
}

/** A vector as the store takes it: little-endian floats. A BLOB is bound in a list of values. */
function blob({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

async function fill(store: Database, encoder: Encoder, file: string): Promise<number> {
  const insert = await store.prepare('INSERT INTO sentences (text, vector) VALUES (?, ?)')
  const waiting: string[] = []
  async function* read(): AsyncGenerator<string> {
    for await (const text of sentencesOf(file)) {
      waiting.push(text)
      yield text
    }
  }
  // The encoder reads ahead as far as its batches need; vectors come in the order of the lines. One transaction: all of them or none.
  let count = 0
  await store.exec('BEGIN')
  for await (const vector of encoder.embed(read(), { normalize: true })) {
    await insert.run([waiting.shift(), blob(vector)])
    count++
  }
  await store.exec('COMMIT')
  return count
}

async function main([checkpoint, file, path, ...queries]: string[]): Promise<void> {
  await using encoder = await Encoder.load(checkpoint, { warmUp: true })
  const store = new Database(path, {})
  try {
    await store.exec(
      `CREATE TABLE IF NOT EXISTS sentences (id INTEGER PRIMARY KEY, text TEXT, vector F32_BLOB(${encoder.dimension}))`,
    )
    const counting = await store.prepare('SELECT count(*) AS count FROM sentences')
    if ((await counting.get()).count === 0) {
      const begun = performance.now()
      const count = await fill(store, encoder, file)
      const seconds = (performance.now() - begun) / 1000
      console.log(`${count} sentences in ${seconds.toFixed(1)} s (${(count / seconds).toFixed(0)} a second)`)
    }
    const nearest = await store.prepare(
      'SELECT text, 1 - vector_distance_cos(vector, ?) AS cosine FROM sentences ORDER BY cosine DESC LIMIT 5',
    )
    for (const query of queries) {
      const { vectors } = await encoder.embed(query, { normalize: true })
      const begun = performance.now()
      const found = await nearest.all([blob(vectors[0])])
      console.log(`\n${query}  (${(performance.now() - begun).toFixed(1)} ms)`)
      for (const { text, cosine } of found) console.log(`${cosine.toFixed(4)}  ${text}`)
    }
  } finally {
    store.close()
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
