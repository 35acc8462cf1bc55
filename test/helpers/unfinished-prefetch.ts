/** A program that takes one batch, leaves the iterator open and ends: its worker threads must not keep it alive. */
import { prefetch } from '../../lib/data/prefetch.js'
import { createSource } from './counting-source.js'

async function main(): Promise<void> {
  const built = new Int32Array(new SharedArrayBuffer(4))
  const iteration = prefetch(createSource({ batches: 100, built }), { workers: 2 })
  const { value } = await iteration.next()
  console.log(`got ${value?.index}`)
}

void main()
