import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { encodeBatches, readBatchFile, writeBatchFile } from '../benchmarks/batch-file.js'
import { type PackedBatch, packSequences } from '../lib/data/packed-batch.js'
import { inspectSafetensors } from '../lib/model/index.js'

describe('batch files for peers', () => {
  const batches: PackedBatch[] = [
    [
      [2, 9, 3],
      [2, 7, 8, 3],
    ],
    [[2, 3]],
    [[2, 5, 6, 3]],
  ].map((sequences, index) => ({
    ...packSequences(sequences),
    labels: {
      mlm: {
        positions: Int32Array.from({ length: index + 1 }, (_, k) => k),
        labels: new Int32Array(index + 1).fill(40 + index),
      },
      nsp: { labels: Int32Array.from(sequences, (_, k) => k % 2) },
      bshift: { spanStarts: Int32Array.of(1), spanEnds: Int32Array.of(2), labels: Int32Array.of(index % 2) },
    },
  }))

  it('give back the batches, plain and gzipped, as a valid safetensors file', () => {
    const scratch = mkdtempSync(path.join(tmpdir(), 'stratabert-batches-'))
    try {
      const file = path.join(scratch, 'batches.safetensors')
      writeBatchFile(file, batches)
      writeFileSync(`${file}.gz`, gzipSync(encodeBatches(batches)))
      for (const read of [readBatchFile(file), readBatchFile(`${file}.gz`)])
        read.forEach((batch, index) => {
          assert.deepEqual(batch.tokenIds, batches[index].tokenIds)
          assert.deepEqual(batch.sequenceOffsets, batches[index].sequenceOffsets)
          for (const [head, labels] of Object.entries(batches[index].labels))
            for (const [field, values] of Object.entries(labels))
              assert.deepEqual((batch.labels[head] as any)[field], values)
        })
      const { tensors } = inspectSafetensors(file)
      assert.ok(tensors.every((tensor) => tensor.dtype === 'I32'))
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  })

  it('refuse batches of which one lacks a head', () => {
    assert.throws(() => encodeBatches([batches[0], { ...batches[1], labels: { mlm: batches[1].labels.mlm } }]), /nsp/)
  })
})
