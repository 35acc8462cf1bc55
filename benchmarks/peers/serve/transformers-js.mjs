/**
 * Peer: the feature-extraction pipeline of @huggingface/transformers on a local ONNX folder, as its documentation has it, fed with batches of like
 * lengths (it cannot sort by itself).
 */
import path from 'node:path'
import { env, pipeline } from '@huggingface/transformers'
import { inSortedBatches, programArguments, serve } from './protocol.mjs'

const { texts, threads, folder } = programArguments()
env.allowRemoteModels = false
env.localModelPath = path.dirname(folder)

const extractors = new Map()

/** One a file and type, however it is batched: each keeps the memory of its largest batch. */
function extractorOf(file, dtype) {
  const key = `${file} ${dtype}`
  if (!extractors.has(key)) {
    const options = {
      device: 'cpu',
      dtype,
      model_file_name: file,
      session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
    }
    extractors.set(key, pipeline('feature-extraction', path.basename(folder), options))
  }
  return extractors.get(key)
}

async function open({ file, dtype, batches }) {
  const extractor = await extractorOf(file, dtype)
  return (list) =>
    inSortedBatches(
      list,
      (text) => text.length,
      batches,
      async (batch) => {
        const { data, dims } = await extractor(batch, { pooling: 'mean', normalize: true })
        return batch.map((_, row) => data.subarray(row * dims[1], (row + 1) * dims[1]))
      },
    )
}

await serve(open, { texts, facts: { 'transformers.js': env.version } })
