/**
 * A pool of worker threads over one encoder: the workers read documents, cut them into sentences and weigh the vectors, the main thread's
 * encoder computes for all of them. Prints the sentence of each document that stands nearest to all its others.
 *
 * One encoder for the pool, not one in each worker: it computes on native threads of its own and blocks nobody, the workers' calls fill
 * its batches together, and the weights are in memory once. Workers are for what JavaScript itself computes.
 *
 * Usage: node examples/worker-pool.mjs CHECKPOINT DOCUMENTS.txt [WORKERS]
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Encoder, readDocuments, splitSentences } from 'stratabert'

async function main([checkpoint, file, workers = '2']) {
  const encoder = await Encoder.load(checkpoint, { warmUp: true })
  try {
    const pool = Array.from({ length: Number(workers) }, (_, index) => startWorker(encoder, { file, index, workers }))
    await Promise.all(pool.map((worker) => once(worker, 'exit')))
    const { batches, meanBatchTokens, latencyMs } = encoder.stats()
    const [tokens, p50] = [meanBatchTokens, latencyMs.p50].map(Math.round)
    console.error(`${batches} batches of ${tokens} tokens; half of the calls took at most ${p50} ms`)
  } finally {
    await encoder.dispose()
  }
}

function startWorker(encoder, share) {
  const worker = new Worker(new URL(import.meta.url), { workerData: share })
  worker.on('message', async ({ id, texts, found }) => {
    if (found) return console.log(`${found.cosine.toFixed(3)}  ${found.title}: ${found.sentence}`)
    try {
      const { vectors, dimension } = await encoder.embed(texts, { normalize: true })
      // The vectors of a call are views of one array or several; one copy can be handed over.
      const copy = new Float32Array(vectors.length * dimension)
      for (const [row, vector] of vectors.entries()) copy.set(vector, row * dimension)
      worker.postMessage({ id, vectors: copy }, [copy.buffer])
    } catch (error) {
      worker.postMessage({ id, error })
    }
  })
  return worker
}

/** The workers' side: asks the main thread for vectors as it would ask an encoder. */
function remoteEmbed(port) {
  const waiting = new Map()
  let asked = 0
  port.on('message', ({ id, vectors, error }) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error) call.reject(error)
    else call.resolve(vectors)
  })
  return (texts) =>
    new Promise((resolve, reject) => {
      waiting.set(asked, { resolve, reject })
      port.postMessage({ id: asked++, texts })
    })
}

async function work(port) {
  const { file, index, workers } = workerData
  const embed = remoteEmbed(port)
  let number = 0
  for await (const { title, line, paragraphs } of readDocuments({ inputs: [file] })) {
    if (number++ % workers !== index) continue
    const sentences = paragraphs.flatMap((paragraph) => splitSentences(paragraph))
    const { best, cosine } = mostTypical(await embed(sentences), sentences.length)
    port.postMessage({ found: { title: title ?? `line ${line}`, sentence: sentences[best], cosine } })
  }
  port.close()
}

/** The row of unit vectors (rows × dimension) that has the highest mean cosine with all rows. */
function mostTypical(vectors, rows) {
  const dimension = vectors.length / rows
  const mean = new Float64Array(dimension)
  vectors.forEach((value, at) => {
    mean[at % dimension] += value / rows
  })
  const cosines = Array.from({ length: rows }, (_, row) =>
    mean.reduce((sum, value, column) => sum + value * vectors[row * dimension + column], 0),
  )
  const cosine = Math.max(...cosines)
  return { best: cosines.indexOf(cosine), cosine }
}

if (isMainThread) await main(process.argv.slice(2))
else await work(parentPort)
