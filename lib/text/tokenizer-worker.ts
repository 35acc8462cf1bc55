import { parentPort } from 'node:worker_threads'
import { StrataError } from '../errors.js'
import { assemble, type EncodedText, wellFormed } from './encoded-text.js'
import type { EncodeAnswer, EncodeRequest } from './tokenizer-pool.js'
import { WordPieceEncoder } from './wordpiece-encoder.js'
import type { TokenizerDefinition } from './wordpiece-files.js'

interface Kept {
  definition: TokenizerDefinition
  encoder: WordPieceEncoder
}
const encoders = new Map<string, Kept>()
const port = parentPort!
/** Requests are answered one after the other, so that their encoder's table is filled once. */
let queue: Promise<void> = Promise.resolve()

port.on('message', (request: EncodeRequest) => {
  if (request.definition !== undefined) {
    encoders.set(request.fingerprint, {
      definition: request.definition,
      encoder: new WordPieceEncoder(request.definition, 'match'),
    })
  }
  // Taken now: a request behind this one may let go of it.
  const kept = encoders.get(request.fingerprint)!
  if (request.forget !== undefined) encoders.delete(request.forget)
  queue = queue.then(() => answer(request, kept))
})

async function answer({ request, inputs, options }: EncodeRequest, { definition, encoder }: Kept): Promise<void> {
  try {
    const texts = inputs.flatMap((input) => (typeof input === 'string' ? [input] : [...input])).map(wellFormed)
    const pieces = await encoder.encode(texts)
    const tokensOf = (text: number): Int32Array =>
      pieces.tokenIds.subarray(pieces.offsets[text], pieces.offsets[text + 1])
    const encoded: EncodedText[] = []
    let next = 0
    for (const input of inputs) {
      const first = tokensOf(next++)
      const second = typeof input === 'string' || input.length < 2 ? undefined : tokensOf(next++)
      encoded.push(assemble(first, second, definition.specialTokens, options))
    }
    const offsets = new Uint32Array(encoded.length + 1)
    encoded.forEach((text, row) => {
      offsets[row + 1] = offsets[row] + text.tokenIds.length
    })
    const tokenIds = new Int32Array(offsets[encoded.length])
    const segmentIds = new Int32Array(tokenIds.length)
    encoded.forEach((text, row) => {
      tokenIds.set(text.tokenIds, offsets[row])
      segmentIds.set(text.segmentIds, offsets[row])
    })
    const truncated = Uint8Array.from(encoded, (text) => (text.truncated ? 1 : 0))
    const message: EncodeAnswer = { request, tokenIds, segmentIds, offsets, truncated }
    port.postMessage(message, [tokenIds.buffer, segmentIds.buffer])
  } catch (error) {
    const code = error instanceof StrataError ? error.code : 'NATIVE_ERROR'
    const message: EncodeAnswer = { request, error: { code, message: (error as Error).message } }
    port.postMessage(message)
  }
}
