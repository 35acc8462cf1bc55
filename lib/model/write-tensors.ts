import { open } from 'node:fs/promises'
import { fileError } from '../errors.js'
import { syncFile } from '../sync-path.js'
import { readTensorBytes } from './read-tensor.js'
import { inspectSafetensors, makeHeader } from './safetensors.js'

/** A tensor on its way into a file; its bytes are asked for when it is its turn. */
export interface TensorSource {
  name: string
  dtype: string
  shape: readonly number[]
  bytes: () => Uint8Array | Promise<Uint8Array>
}

/** Writes a safetensors file, one tensor in memory at a time, and brings it to the disk. */
export async function writeTensorFile(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Record<string, string> = {},
): Promise<void> {
  const header = Buffer.from(makeHeader(tensors, metadata))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  try {
    const file = await open(path, 'w')
    try {
      await file.writeFile(length)
      await file.writeFile(header)
      for (const tensor of tensors) await file.writeFile(await tensor.bytes())
      await syncFile(file)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw fileError(error, path, 'write the weights')
  }
}

/** Tensors of a file as they stand there, under new names: name in the file → name to be written. */
export function copiedTensors(path: string, names: Record<string, string>): TensorSource[] {
  const stored = new Map(inspectSafetensors(path).tensors.map((tensor) => [tensor.name, tensor]))
  return Object.entries(names).map(([source, name]) => {
    const { dtype, shape } = stored.get(source)!
    return { name, dtype, shape, bytes: () => readTensorBytes(path, source).bytes }
  })
}

/** Float32 numbers as a tensor of a file. */
export function floatTensor(name: string, shape: readonly number[], values: Float32Array): TensorSource {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return { name, dtype: 'F32', shape, bytes: () => bytes }
}
