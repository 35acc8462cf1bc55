/** One pass of a frozen encoder over all texts; the units' states of all asked layers go to a temporary file. */
import { type FileHandle, open, rm } from 'node:fs/promises'
import { packSequences } from '../../data/packed-batch.js'
import { fileError, StrataError } from '../../errors.js'
import { type Model, type ProbeFeatures, spanMeans } from '../../model/index.js'
import type { EncodedUnits } from './encoded-units.js'

export interface FeatureCache {
  features: ProbeFeatures
  /** Where in the file each unit stands; -1 for one without tokens. */
  rowOf: Int32Array
}

export interface CacheOptions {
  /** Layers of the encoder, in the order of the file. */
  layers: readonly number[]
  /** The file; removed by the caller. */
  path: string
  maxBatchTokens: number
  signal?: AbortSignal
  onProgress?: (tokens: number, total: number) => void
}

/** Throws ABORTED, DISK_FULL and what the model throws; then no file is left. */
export async function cacheFeatures(model: Model, encoded: EncodedUnits, options: CacheOptions): Promise<FeatureCache> {
  const { layers, path } = options
  const file = await open(path, 'w').catch((error) => {
    throw fileError(error, path, 'write the features')
  })
  try {
    const rowOf = await writeStates(model, encoded, options, file)
    await file.close()
    const units = rowOf.reduce((most, row) => Math.max(most, row + 1), 0)
    if (units === 0) throw new StrataError('BAD_DATA', 'no example has a word that the encoder reads; check the data')
    return { features: { path, units, layers: layers.length, width: model.config.encoder.hiddenSize }, rowOf }
  } catch (error) {
    await file.close().catch(() => {})
    await rm(path, { force: true })
    throw fileError(error, path, 'write the features')
  }
}

async function writeStates(
  model: Model,
  { sequences, unitCount, tokens }: EncodedUnits,
  { layers, maxBatchTokens, signal, onProgress }: CacheOptions,
  file: FileHandle,
): Promise<Int32Array> {
  const rowOf = new Int32Array(unitCount).fill(-1)
  let rows = 0
  let done = 0
  // The last batch is written while the next one is computed.
  let written: Promise<unknown> = Promise.resolve()
  for (const indices of batchesOf(sequences, maxBatchTokens)) {
    if (signal?.aborted) throw new StrataError('ABORTED', 'the probing was aborted by its signal')
    const batch = packSequences(indices.map((index) => sequences[index].tokenIds))
    const starts: number[] = []
    const ends: number[] = []
    indices.forEach((index, place) => {
      for (const { unit, start, end } of sequences[index].units) {
        rowOf[unit] = rows++
        starts.push(batch.sequenceOffsets[place] + start)
        ends.push(batch.sequenceOffsets[place] + end)
      }
    })
    done += batch.tokenIds.length
    if (starts.length === 0) continue
    const states = await spanMeans(model, batch, layers, {
      starts: Int32Array.from(starts),
      ends: Int32Array.from(ends),
    })
    await written
    written = file.appendFile(new Uint8Array(states.buffer, states.byteOffset, states.byteLength))
    written.catch(() => {})
    onProgress?.(done, tokens)
  }
  await written
  return rowOf
}

/** Sequences of like length together, longest first: memory peaks at once, and attention works on the longest of a batch. */
function batchesOf(sequences: EncodedUnits['sequences'], maxBatchTokens: number): number[][] {
  const length = (index: number) => sequences[index].tokenIds.length
  const order = sequences.map((_, index) => index).sort((a, b) => length(b) - length(a) || a - b)
  const batches: number[][] = []
  let room = 0
  for (const index of order) {
    if (length(index) > room || batches.length === 0) {
      batches.push([])
      room = maxBatchTokens
    }
    batches.at(-1)!.push(index)
    room -= length(index)
  }
  return batches
}
