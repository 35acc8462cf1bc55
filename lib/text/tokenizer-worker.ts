import { parentPort } from 'node:worker_threads'
import { StrataError } from '../errors.js'
import { encodeInputs } from './first-tokens.js'
import { encodeWithOffsets, type TokenOffsets } from './token-offsets.js'
import type { EncodeAnswer, Encoded, EncodeRequest, PlacesRequest } from './tokenizer-pool.js'
import { compileTokenizer, WordPieceEncoder } from './wordpiece-encoder.js'
import type { TokenizerDefinition } from './wordpiece-files.js'

interface Kept {
  definition: TokenizerDefinition
  encoder: WordPieceEncoder
  /** Made when places are asked for. */
  native?: ReturnType<typeof compileTokenizer>
}
const encoders = new Map<string, Kept>()
const port = parentPort!
/** Requests are answered one after the other, so that their encoder's table is filled once. */
let queue: Promise<void> = Promise.resolve()

port.on('message', (request: EncodeRequest | PlacesRequest) => {
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

async function answer(request: EncodeRequest | PlacesRequest, kept: Kept): Promise<void> {
  const number = request.request
  try {
    const result = 'text' in request ? await placesOf(request, kept) : await encoded(request, kept)
    const message: EncodeAnswer = { request: number, result }
    port.postMessage(
      message,
      Object.values(result).map(({ buffer }) => buffer as ArrayBuffer),
    )
  } catch (error) {
    const code = error instanceof StrataError ? error.code : 'NATIVE_ERROR'
    const message: EncodeAnswer = { request: number, error: { code, message: (error as Error).message } }
    port.postMessage(message)
  }
}

async function placesOf({ text }: PlacesRequest, kept: Kept): Promise<TokenOffsets> {
  kept.native ??= compileTokenizer(kept.definition.source, kept.definition.json)
  return (await encodeWithOffsets(kept.native, [text]))[0]
}

async function encoded({ inputs, options }: EncodeRequest, { definition, encoder }: Kept): Promise<Encoded> {
  const list = await encodeInputs(encoder, inputs, definition.specialTokens, options)
  const offsets = new Uint32Array(list.length + 1)
  list.forEach((text, row) => {
    offsets[row + 1] = offsets[row] + text.tokenIds.length
  })
  const tokenIds = new Int32Array(offsets[list.length])
  const segmentIds = new Int32Array(tokenIds.length)
  list.forEach((text, row) => {
    tokenIds.set(text.tokenIds, offsets[row])
    segmentIds.set(text.segmentIds, offsets[row])
  })
  const truncated = Uint8Array.from(list, (text) => (text.truncated ? 1 : 0))
  return { tokenIds, segmentIds, offsets, truncated }
}
