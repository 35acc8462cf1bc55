import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { fileError, StrataError } from '../errors.js'
import { shownValue as shown } from '../shown-value.js'
import { isShallowJson } from '../untrusted-files.js'

/** The safetensors format: 8 bytes of header length, a JSON header, the tensors' bytes. Little-endian, row-major. */

export interface StoredTensorInfo {
  name: string
  dtype: string
  shape: number[]
  /** First byte in the file. */
  begin: number
  bytes: number
}

export interface SafetensorsInfo {
  metadata: Record<string, string>
  tensors: StoredTensorInfo[]
}

const BYTES: Record<string, number> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
}
/** The reference implementation's limit. */
const MAX_HEADER_BYTES = 100_000_000
/** A tensor's shape lies three deep. */
const DEEPEST_HEADER = 8

/**
 * Reads and checks a file's header: lengths, dtypes, shapes, and that the tensors fill the file without overlap or hole.
 * Throws BAD_FILE that names file, tensor and expectation; NOT_FOUND or IO_ERROR when it cannot be read.
 */
export function inspectSafetensors(path: string): SafetensorsInfo {
  let file: number
  try {
    // Not blocking: a pipe would hold the thread until somebody writes.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw fileError(error, path, 'read the weights')
  }
  try {
    const status = fstatSync(file)
    if (!status.isFile()) throw bad(path, 'is no plain file')
    const size = status.size
    if (size < 8) throw bad(path, `has ${size} bytes; at least 8 (the header's length) were expected`)
    const headerBytes = readExactly(file, 8, 0, path).readBigUInt64LE(0)
    if (headerBytes > BigInt(MAX_HEADER_BYTES)) {
      throw bad(path, `announces a header of ${headerBytes} bytes; at most ${MAX_HEADER_BYTES} were expected`)
    }
    const length = Number(headerBytes)
    if (length > size - 8) throw bad(path, `announces a header of ${length} bytes but has ${size - 8} after the length`)
    return parseHeader(readExactly(file, length, 8, path), size - 8 - length, path)
  } catch (error) {
    throw error instanceof StrataError ? error : fileError(error, path, 'read the weights')
  } finally {
    closeSync(file)
  }
}

/** The header of a file whose tensor bytes number `dataBytes`. Exported for tests of hostile headers. */
export function parseHeader(header: Uint8Array, dataBytes: number, path: string): SafetensorsInfo {
  if (!isShallowJson(header, DEEPEST_HEADER)) throw bad(path, `has a header nested more than ${DEEPEST_HEADER} deep`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(header)
  } catch (error) {
    throw bad(path, 'has a header that is not UTF-8', error)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw bad(path, `has a header that is not JSON (${(error as Error).message})`, error)
  }
  if (!isRecord(json)) throw bad(path, 'has a header that is no JSON object')
  rejectDuplicateKeys(text, path)
  const metadata = readMetadata(json.__metadata__, path)
  const base = 8 + header.length
  const tensors = Object.entries(json)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => readEntry(name, entry, base, path))
  let expected = base
  for (const tensor of [...tensors].sort((a, b) => a.begin - b.begin || a.bytes - b.bytes)) {
    if (tensor.begin !== expected) {
      const what = tensor.begin < expected ? 'overlaps the one before' : 'leaves a hole before it'
      throw bad(
        path,
        `: tensor ${shown(tensor.name)} begins at data byte ${tensor.begin - base} and ${what}; ${expected - base} was expected`,
      )
    }
    expected += tensor.bytes
  }
  if (expected - base !== dataBytes) {
    throw bad(path, `holds ${dataBytes} bytes of tensors; its header describes ${expected - base}`)
  }
  return { metadata, tensors }
}

/** The eight-byte-aligned header text for tensors that follow in this order. */
export function makeHeader(
  tensors: readonly { name: string; dtype: string; shape: readonly number[] }[],
  metadata: Record<string, string>,
): string {
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata })
  let offset = 0
  for (const { name, dtype, shape } of tensors) {
    if (name in header) {
      throw new StrataError('BAD_ARGUMENT', `two tensors are to be named ${shown(name)} in the file; one was expected`)
    }
    const bytes = shape.reduce((product, size) => product * size, BYTES[dtype])
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  // The header's own length must keep the data aligned, in bytes and not in characters.
  const text = JSON.stringify(header)
  return text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8)
}

function readEntry(name: string, entry: unknown, base: number, path: string): StoredTensorInfo {
  if (!isRecord(entry))
    throw bad(path, `: tensor ${shown(name)} is described by ${shown(entry)}; an object was expected`)
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== 'string' || !Object.hasOwn(BYTES, dtype)) {
    throw bad(
      path,
      `: tensor ${shown(name)} has dtype ${shown(dtype)}; one of ${Object.keys(BYTES).join(', ')} was expected`,
    )
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw bad(path, `: tensor ${shown(name)} has shape ${shown(shape)}; whole numbers of at least 0 were expected`)
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[1] < offsets[0]) {
    throw bad(
      path,
      `: tensor ${shown(name)} has data_offsets ${shown(offsets)}; [begin, end] with begin ≤ end was expected`,
    )
  }
  let bytes = BYTES[dtype]
  for (const size of shape) {
    bytes *= size
    if (!Number.isSafeInteger(bytes)) {
      throw bad(path, `: tensor ${shown(name)} of shape ${shown(shape)} is larger than any file`)
    }
  }
  if (offsets[1] - offsets[0] !== bytes) {
    throw bad(
      path,
      `: tensor ${shown(name)} takes ${offsets[1] - offsets[0]} bytes; ${dtype} of shape ${shown(shape)} takes ${bytes}`,
    )
  }
  return { name, dtype, shape, begin: base + offsets[0], bytes }
}

function readMetadata(value: unknown, path: string): Record<string, string> {
  if (value === undefined) return {}
  if (!isRecord(value) || !Object.values(value).every((item) => typeof item === 'string')) {
    throw bad(path, 'has __metadata__ that is not an object of strings')
  }
  return value as Record<string, string>
}

/** JSON.parse lets the last of two equal keys win; here both a hidden tensor and a hidden field are refused. `text` is valid JSON. */
function rejectDuplicateKeys(text: string, path: string): void {
  const open: (Set<string> | null)[] = []
  const colon = /[ \t\r\n]*:/y
  for (let at = 0; at < text.length; at++) {
    const symbol = text[at]
    if (symbol === '{') open.push(new Set())
    else if (symbol === '[') open.push(null)
    else if (symbol === '}' || symbol === ']') open.pop()
    else if (symbol === '"') {
      const start = at
      for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
      const keys = open.at(-1)
      colon.lastIndex = at + 1
      if (!keys || !colon.test(text)) continue
      const key = JSON.parse(text.slice(start, at + 1)) as string
      if (keys.has(key)) throw bad(path, `has the key ${shown(key)} twice in its header`)
      keys.add(key)
    }
  }
}

function readExactly(file: number, count: number, position: number, path: string): Buffer {
  const bytes = Buffer.alloc(count)
  let done = 0
  while (done < count) {
    const read = readSync(file, bytes, done, count - done, position + done)
    if (read === 0) throw bad(path, 'ended while it was read')
    done += read
  }
  return bytes
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function bad(path: string, problem: string, cause?: unknown): StrataError {
  const text = problem.startsWith(':') ? `${path}${problem}` : `${path} ${problem}`
  return new StrataError('BAD_FILE', `${text}; a whole safetensors file was expected`, { cause, details: { path } })
}
