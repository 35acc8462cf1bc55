/**
 * Packed batches in one safetensors file of int32 arrays, so that peers in other languages train on the very same batches.
 * Arrays of all batches stand end to end; `*BatchOffsets` and `labels.<head>.offsets` say where each batch starts. Positions
 * and spans count from the start of their batch. Legend: K batches.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { HeadLabels, PackedBatch } from '../lib/data/packed-batch.js'

const FIELDS = ['labels', 'positions', 'spanStarts', 'spanEnds'] as const

/** Bytes of a batch file. Every batch must have labels for the same heads. */
export function encodeBatches(batches: readonly PackedBatch[]): Buffer {
  const arrays: Record<string, number[]> = {}
  const append = (name: string, values: ArrayLike<number>): void => {
    arrays[name] ??= []
    for (let index = 0; index < values.length; index++) arrays[name].push(values[index])
  }
  append('tokenBatchOffsets', [0])
  append('sequenceBatchOffsets', [0])
  for (const head of Object.keys(batches[0].labels)) append(`labels.${head}.offsets`, [0])
  for (const batch of batches) {
    append('tokenIds', batch.tokenIds)
    append('segmentIds', batch.segmentIds)
    append('sequenceOffsets', batch.sequenceOffsets)
    append('tokenBatchOffsets', [arrays.tokenIds.length])
    append('sequenceBatchOffsets', [arrays.sequenceOffsets.length])
    for (const head of Object.keys(batches[0].labels)) {
      const labels = batch.labels[head]
      if (!labels) throw new Error(`a batch has no labels for ${head}; a batch file needs them in every batch`)
      for (const field of FIELDS) if (labels[field]) append(`labels.${head}.${field}`, labels[field])
      append(`labels.${head}.offsets`, [arrays[`labels.${head}.labels`].length])
    }
  }
  const header: Record<string, unknown> = {}
  let offset = 0
  for (const [name, values] of Object.entries(arrays)) {
    const end = offset + 4 * values.length
    header[name] = { dtype: 'I32', shape: [values.length], data_offsets: [offset, end] }
    offset = end
  }
  const json = JSON.stringify(header)
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const data = Object.values(arrays).map((values) => Buffer.from(Int32Array.from(values).buffer))
  return Buffer.concat([length, text, ...data])
}

export function writeBatchFile(path: string, batches: readonly PackedBatch[]): void {
  writeFileSync(path, encodeBatches(batches))
}

/** Reads a batch file (also a gzipped one); every batch owns its arrays. */
export function readBatchFile(path: string): PackedBatch[] {
  const raw = readFileSync(path)
  const bytes = path.endsWith('.gz') ? gunzipSync(raw) : raw
  const headerBytes = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<string, { data_offsets: number[] }>
  const arrays: Record<string, Int32Array> = {}
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const [begin, end] = entry.data_offsets
    const copy = bytes.subarray(8 + headerBytes + begin, 8 + headerBytes + end)
    arrays[name] = new Int32Array(new Uint8Array(copy).buffer)
  }
  const heads = Object.keys(arrays).flatMap((name) => /^labels\.(.+)\.offsets$/.exec(name)?.[1] ?? [])
  const { tokenBatchOffsets, sequenceBatchOffsets } = arrays
  return Array.from({ length: tokenBatchOffsets.length - 1 }, (_, k) => {
    const tokens = [tokenBatchOffsets[k], tokenBatchOffsets[k + 1]] as const
    const labels: Record<string, HeadLabels> = {}
    for (const head of heads) {
      const offsets = arrays[`labels.${head}.offsets`]
      const entry: Partial<HeadLabels> = {}
      for (const field of FIELDS) entry[field] = arrays[`labels.${head}.${field}`]?.slice(offsets[k], offsets[k + 1])
      labels[head] = entry as HeadLabels
    }
    return {
      tokenIds: arrays.tokenIds.slice(...tokens),
      segmentIds: arrays.segmentIds.slice(...tokens),
      sequenceOffsets: arrays.sequenceOffsets.slice(sequenceBatchOffsets[k], sequenceBatchOffsets[k + 1]),
      labels,
    }
  })
}
