/**
 * TensorBoard event files without TensorBoard: TFRecord frames (length, masked CRC-32C, payload, masked CRC-32C) around
 * `tensorflow.Event` messages, encoded by hand (tensorflow/core/util/event.proto, framework/summary.proto).
 */
import { type FileHandle, open } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileError } from '../errors.js'
import { makeFolder } from './durable-files.js'
import type { Logger, TrainingEvent } from './events.js'

export interface TensorBoardEvent {
  /** Seconds since 1970. */
  wallTime: number
  step?: number
  fileVersion?: string
  scalars?: Record<string, number>
  /** Tells readers that what earlier files say of this step and later ones was lost. */
  restart?: boolean
}

/** One event as it stands in a file. */
export function encodeRecord(event: TensorBoardEvent): Buffer {
  const payload = encodeEvent(event)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(payload.length))
  return Buffer.concat([length, maskedCrc(length), payload, maskedCrc(payload)])
}

function encodeEvent(event: TensorBoardEvent): Buffer {
  const wallTime = Buffer.alloc(8)
  wallTime.writeDoubleLE(event.wallTime)
  const parts = [tag(1, 1), wallTime]
  if (event.step) parts.push(tag(2, 0), varint(event.step))
  if (event.fileVersion !== undefined) parts.push(bytesField(3, Buffer.from(event.fileVersion)))
  if (event.scalars) {
    const values = Object.entries(event.scalars).map(([name, value]) => {
      const number = Buffer.alloc(4)
      number.writeFloatLE(value)
      return bytesField(1, Buffer.concat([bytesField(1, Buffer.from(name)), tag(2, 5), number]))
    })
    parts.push(bytesField(5, Buffer.concat(values)))
  }
  if (event.restart) parts.push(bytesField(7, Buffer.concat([tag(1, 0), varint(1)])))
  return Buffer.concat(parts)
}

const tag = (field: number, wireType: number): Buffer => varint(field * 8 + wireType)

const bytesField = (field: number, content: Buffer): Buffer =>
  Buffer.concat([tag(field, 2), varint(content.length), content])

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  while (left >= 128) {
    bytes.push((left % 128) + 128)
    left = Math.floor(left / 128)
  }
  bytes.push(left)
  return Buffer.from(bytes)
}

/** Castagnoli polynomial, reflected. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** TFRecord's mask: a CRC of data that hold CRCs is weak. */
function maskedCrc(data: Uint8Array): Buffer {
  const crc = crc32c(data)
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(masked)
  return buffer
}

/** Writes losses, rates and scores to a new event file in `folder`. */
export async function openTensorBoardLog(folder: string, resumeStep: number): Promise<Logger> {
  const started = Date.now()
  const path = join(
    folder,
    `events.out.tfevents.${Math.floor(started / 1000)}.${hostname()}.${process.pid}.${started % 1000}`,
  )
  let file: FileHandle
  const append = async (event: Omit<TensorBoardEvent, 'wallTime'>) => {
    try {
      await file.appendFile(encodeRecord({ wallTime: Date.now() / 1000, ...event }))
    } catch (error) {
      throw fileError(error, path, 'write the TensorBoard events')
    }
  }
  try {
    await makeFolder(folder)
    file = await open(path, 'a')
  } catch (error) {
    throw fileError(error, path, 'write the TensorBoard events')
  }
  await append({ fileVersion: 'brain.Event:2' })
  if (resumeStep > 0) await append({ restart: true, step: resumeStep + 1 })
  return {
    async log(event) {
      if (event.type === 'rollback') await append({ restart: true, step: event.step + 1 })
      const scalars = scalarsOf(event)
      if (scalars) await append({ step: event.step, scalars })
    },
    close: () => file.close(),
  }
}

function scalarsOf(event: TrainingEvent): Record<string, number> | undefined {
  const scalars: Record<string, number> = {}
  if (event.type === 'step') {
    scalars['train/loss'] = event.loss
    for (const [head, { loss }] of Object.entries(event.losses)) scalars[`train/loss/${head}`] = loss
    const { learningRate, gradNorm, tokens, tokensPerSecond, millisecondsPerStep, dataWaitShare, memoryBytes } = event
    const rates = { learningRate, gradNorm, tokens, tokensPerSecond, millisecondsPerStep, dataWaitShare, memoryBytes }
    for (const [name, value] of Object.entries(rates)) scalars[`train/${name}`] = value
    if (event.pruning) scalars['pruning/density'] = event.pruning.density
    return scalars
  }
  if (event.type !== 'evaluation' && event.type !== 'end') return undefined
  for (const [mix, { weights, gamma }] of Object.entries(event.mixes ?? {})) {
    scalars[`mixes/${mix}/gamma`] = gamma
    weights.forEach((weight, index) => {
      scalars[`mixes/${mix}/weight-${index}`] = weight
    })
  }
  if (event.type === 'end') return event.mixes && scalars
  for (const [head, scores] of Object.entries(event.scores)) {
    for (const [name, value] of Object.entries(scores)) {
      if (typeof value === 'number' && name !== 'layer' && name !== 'count')
        scalars[`evaluation/${head}/${name}`] = value
    }
  }
  for (const [task, splits] of Object.entries(event.tasks)) {
    for (const [split, { loss, metrics }] of Object.entries(splits)) {
      for (const [name, value] of Object.entries({ loss, ...metrics })) {
        scalars[`evaluation/${task}/${split}/${name}`] = value
      }
    }
  }
  if (event.mean !== undefined) scalars['evaluation/mean'] = event.mean
  return scalars
}
