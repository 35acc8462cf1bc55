/**
 * Peer: onnxruntime-node as its documentation has it, with what helps it: mean and unit length inside the graph, so that one vector a text comes
 * out; Hugging Face's Rust tokenizer; texts sorted by their tokens, batches by number of texts or by padded tokens; int64
 * inputs filled without BigInt.
 */
import path from 'node:path'
import ort from 'onnxruntime-node'
import { Tokenizer } from 'tokenizers'
import { inSortedBatches, programArguments, serve } from './protocol.mjs'

const { texts, threads, folder } = programArguments()
const tokenizer = Tokenizer.fromFile(path.join(folder, 'tokenizer.json'))
tokenizer.setTruncation(512)
tokenizer.disablePadding()

/** (ids, mask), both int64 of shape (B, longest). */
function padded(rows) {
  const longest = Math.max(...rows.map((ids) => ids.length))
  const made = [0, 1].map(() => new BigInt64Array(rows.length * longest))
  // Low halves of the little-endian numbers.
  const [ids, mask] = made.map(({ buffer }) => new Int32Array(buffer))
  rows.forEach((row, number) => {
    for (let place = 0; place < row.length; place++) {
      const at = 2 * (number * longest + place)
      ids[at] = row[place]
      mask[at] = 1
    }
  })
  return made.map((data) => new ort.Tensor('int64', data, [rows.length, longest]))
}

const sessions = new Map()

/** One a file, however it is batched: each keeps the memory of its largest batch. */
function sessionOf(file) {
  if (!sessions.has(file)) {
    const options = {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
    }
    sessions.set(file, ort.InferenceSession.create(path.join(folder, file), options))
  }
  return sessions.get(file)
}

async function open({ file, batches }) {
  const session = await sessionOf(file)
  return async (list) => {
    const encoded = await tokenizer.encodeBatch(list)
    const rows = encoded.map((one) => one.getIds())
    return inSortedBatches(
      rows,
      (ids) => ids.length,
      batches,
      async (batch) => {
        const [input_ids, attention_mask] = padded(batch)
        const { sentence_embedding } = await session.run({ input_ids, attention_mask })
        const [, dimension] = sentence_embedding.dims
        return batch.map((_, row) => sentence_embedding.data.subarray(row * dimension, (row + 1) * dimension))
      },
    )
  }
}

await serve(open, { texts, facts: { onnxruntime: ort.env.versions?.node } })
