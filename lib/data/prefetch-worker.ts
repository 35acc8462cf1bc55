/** Worker thread that builds batches: rebuilds sources from their descriptions and answers requests in order. */
import { parentPort } from 'node:worker_threads'
import { StrataError } from '../errors.js'
import { type BatchSource, type PackedBatch, transferList } from './packed-batch.js'
import { buildBatch, type PrefetchReply, type PrefetchRequest } from './prefetch-protocol.js'
import { openDescribed } from './source-description.js'

function replyOf(id: number, error: unknown): PrefetchReply {
  if (error instanceof StrataError) {
    const { code, message, details } = error
    return { id, error: { code, message, details } }
  }
  const { message, stack } = error as Error
  return { id, error: { message: message ?? String(error), stack } }
}

const port = parentPort!
const sources = new Map<number, Promise<BatchSource>>()

async function answer(request: PrefetchRequest): Promise<void> {
  if (request.kind === 'add') {
    const source = openDescribed(request.description)
    // A failure is told to whoever asks for a batch.
    source.catch(() => {})
    sources.set(request.source, source)
    return
  }
  const { id, epoch } = request
  let reply: PrefetchReply
  let transfer: ArrayBuffer[] = []
  try {
    const source = await sources.get(request.source)!
    if (request.kind === 'count') {
      reply = { id, value: source.batchCount(epoch) }
    } else {
      const batch: PackedBatch = buildBatch(source, epoch, request.index)
      transfer = transferList(batch)
      reply = { id, value: batch }
    }
  } catch (error) {
    reply = replyOf(id, error)
  }
  port.postMessage(reply, transfer)
}

port.on('message', answer)
