/** A thread that sums the products of some pairs of layers: see parallel-cka.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { GramSums, type LayerPair, type StateBlock } from '../gram-sums.js'

export interface GramWorkerData {
  widths: readonly number[]
  pairs: readonly LayerPair[]
}

/** A block of rows, which the worker has read when it answers, or the question what came out. */
export type GramRequest = { add: readonly StateBlock[]; rows: number } | { squares: true }
export type GramAnswer = { squares?: number[] }

const { widths, pairs } = workerData as GramWorkerData
const sums = new GramSums(widths, pairs)

parentPort?.on('message', (request: GramRequest) => {
  const answer: GramAnswer = {}
  if ('add' in request) sums.add(request.add, request.rows)
  else answer.squares = sums.squares()
  parentPort?.postMessage(answer)
})
