import type { Worker } from 'node:worker_threads'
import { isStrataErrorCode, StrataError } from '../errors.js'
import { spawnWorker } from '../runtime/index.js'
import type { EncodedText, EncodeInput, EncodeOptions } from './encoded-text.js'
import type { TokenOffsets } from './token-offsets.js'
import type { TokenizerDefinition } from './wordpiece-files.js'

/** What the worker is asked; a definition travels once for each tokenizer. */
export interface EncodeRequest {
  request: number
  fingerprint: string
  definition?: TokenizerDefinition
  /** A tokenizer that the worker need not keep: it comes anew when it is asked again. */
  forget?: string
  inputs: readonly EncodeInput[]
  options: EncodeOptions
}

/** A text whose tokens' places are asked for. */
export interface PlacesRequest extends Omit<EncodeRequest, 'inputs' | 'options'> {
  text: string
}

/** All inputs of a request end to end: `offsets` has one entry more than there are inputs. */
export interface Encoded {
  tokenIds: Int32Array
  segmentIds: Int32Array
  offsets: Uint32Array
  truncated: Uint8Array
}

export type EncodeAnswer = { request: number } & (
  | { result: Encoded | TokenOffsets }
  | { error: { code: string; message: string } }
)

/** Tokenizers that the worker keeps: a process that loads one model after the other must not keep all their vocabularies. */
const MOST_KEPT = 8
const INPUTS_PER_REQUEST = 4096
const CHARACTERS_PER_REQUEST = 2_000_000

interface Pending {
  resolve(answer: EncodeAnswer): void
  reject(error: unknown): void
}

/** One worker thread a process (or worker) serves all tokenizers; it never keeps an idle process alive. */
let shared: { worker: Worker; known: Set<string>; pending: Map<number, Pending> } | undefined
let requests = 0

/** Encodes in the worker; blocks of bounded size, so that no message holds up the caller's event loop. */
export async function encodeInWorker(
  definition: TokenizerDefinition,
  inputs: readonly EncodeInput[],
  options: EncodeOptions,
): Promise<EncodedText[]> {
  const results: EncodedText[] = []
  const blocks = blocksOf(inputs)
  const ask = (block: number) => askWorker<Encoded>(definition, { inputs: blocks[block], options })
  let next = blocks.length === 0 ? undefined : ask(0)
  for (let index = 0; index < blocks.length; index++) {
    const current = next!
    // One block ahead: the worker is never idle while this thread unpacks.
    next = index + 1 < blocks.length ? ask(index + 1) : undefined
    next?.catch(() => {})
    const { tokenIds, segmentIds, offsets, truncated } = await current
    for (let row = 0; row + 1 < offsets.length; row++) {
      const [from, to] = [offsets[row], offsets[row + 1]]
      results.push({
        tokenIds: tokenIds.slice(from, to),
        segmentIds: segmentIds.slice(from, to),
        truncated: truncated[row] === 1,
      })
    }
  }
  return results
}

/** As Tokenizer.encodeWithOffsets, in the worker. */
export function offsetsInWorker(definition: TokenizerDefinition, text: string): Promise<TokenOffsets> {
  return askWorker<TokenOffsets>(definition, { text })
}

async function askWorker<Result extends Encoded | TokenOffsets>(
  definition: TokenizerDefinition,
  asked: Pick<EncodeRequest, 'inputs' | 'options'> | Pick<PlacesRequest, 'text'>,
): Promise<Result> {
  shared ??= startWorker()
  const { worker, known, pending } = shared
  const request = ++requests
  const message: EncodeRequest | PlacesRequest = { request, fingerprint: definition.fingerprint, ...asked }
  // The one used last stands last.
  if (!known.delete(definition.fingerprint)) message.definition = definition
  known.add(definition.fingerprint)
  if (known.size > MOST_KEPT) {
    const [oldest] = known
    known.delete(oldest)
    message.forget = oldest
  }
  const answer = await new Promise<EncodeAnswer>((resolve, reject) => {
    pending.set(request, { resolve, reject })
    worker.ref()
    worker.postMessage(message)
  })
  if ('result' in answer) return answer.result as Result
  const { code, message: words } = answer.error
  throw new StrataError(isStrataErrorCode(code) ? code : 'NATIVE_ERROR', words)
}

function startWorker(): NonNullable<typeof shared> {
  const worker = spawnWorker(__dirname, 'tokenizer-worker', {})
  const pending = new Map<number, Pending>()
  const state = { worker, known: new Set<string>(), pending }
  const fail = (error: unknown): void => {
    if (shared === state) shared = undefined
    for (const { reject } of pending.values()) reject(error)
    pending.clear()
  }
  worker.on('message', (answer: EncodeAnswer) => {
    const waiting = pending.get(answer.request)
    pending.delete(answer.request)
    if (pending.size === 0) worker.unref()
    waiting?.resolve(answer)
  })
  worker.on('error', (error) => {
    fail(
      new StrataError(
        'NATIVE_ERROR',
        `the tokenizer's worker thread failed: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      ),
    )
  })
  worker.on('exit', (code) => {
    fail(new StrataError('NATIVE_ERROR', `the tokenizer's worker thread ended with code ${code} before it answered`))
  })
  worker.unref()
  return state
}

function blocksOf(inputs: readonly EncodeInput[]): (readonly EncodeInput[])[] {
  const blocks: EncodeInput[][] = []
  let block: EncodeInput[] = []
  let characters = 0
  for (const input of inputs) {
    block.push(input)
    characters += typeof input === 'string' ? input.length : input[0].length + input[1].length
    if (block.length >= INPUTS_PER_REQUEST || characters >= CHARACTERS_PER_REQUEST) {
      blocks.push(block)
      block = []
      characters = 0
    }
  }
  if (block.length > 0) blocks.push(block)
  return blocks
}
