import { closeSync, openSync, readSync } from 'node:fs'
import { fileError, StrataError } from '../errors.js'

/**
 * One floating-point tensor of a safetensors file as float32, row-major. For the few tensors that JavaScript itself must
 * rearrange; whole models are read natively. The file's header must have been validated before (inspectSafetensors).
 */
export function readFloatTensor(path: string, name: string): Float32Array {
  const { bytes, dtype } = readTensorBytes(path, name)
  return toFloat32(bytes, dtype, `${path}: tensor ${name}`)
}

/** One tensor's bytes as they stand in the file. The header must have been validated before. */
export function readTensorBytes(path: string, name: string): { bytes: Buffer; dtype: string } {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    throw fileError(error, path, `read tensor ${name}`)
  }
  try {
    const lengthBytes = readBytes(file, 8, 0)
    const headerBytes = Number(lengthBytes.readBigUInt64LE(0))
    const header = JSON.parse(readBytes(file, headerBytes, 8).toString('utf8'))
    const entry = header[name] as { dtype: string; data_offsets: [number, number] } | undefined
    if (!entry) throw new StrataError('BAD_CHECKPOINT', `${path} holds no tensor ${name}`)
    const [begin, end] = entry.data_offsets
    return { bytes: readBytes(file, end - begin, 8 + headerBytes + begin), dtype: entry.dtype }
  } finally {
    closeSync(file)
  }
}

function readBytes(file: number, count: number, position: number): Buffer {
  const bytes = Buffer.from(new ArrayBuffer(count))
  let done = 0
  while (done < count) {
    const read = readSync(file, bytes, done, count - done, position + done)
    if (read === 0) throw new StrataError('BAD_CHECKPOINT', 'the weights file ends too early; fetch or write it anew')
    done += read
  }
  return bytes
}

function toFloat32(bytes: Buffer, dtype: string, what: string): Float32Array {
  switch (dtype) {
    case 'F32':
      // The format is little-endian, as every machine with libtorch is; readBytes begins a buffer of its own.
      return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
    case 'F64':
      return Float32Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readDoubleLE(8 * index))
    case 'BF16': {
      const bits = new Uint32Array(bytes.length / 2)
      for (let index = 0; index < bits.length; index++) bits[index] = bytes.readUInt16LE(2 * index) << 16
      return new Float32Array(bits.buffer)
    }
    case 'F16':
      return Float32Array.from({ length: bytes.length / 2 }, (_, index) => halfToFloat(bytes.readUInt16LE(2 * index)))
    default:
      throw new StrataError('BAD_CHECKPOINT', `${what} has dtype ${dtype}; expected F16, BF16, F32 or F64`)
  }
}

function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
