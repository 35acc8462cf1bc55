/**
 * The inner loop of a Gram matrix in WebAssembly: JavaScript computes with one double at a time, WebAssembly with two, and keeps the
 * sixteen sums of a tile in registers. The code is assembled here, byte by byte, as the specification numbers its instructions
 * (WebAssembly core 2.0, §5.4); test/95.statistics.test.ts holds it against the formula.
 */

import { StrataError } from '../errors.js'

/** What is used of WebAssembly, which TypeScript declares for browsers alone. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer }
  Module: new (code: Uint8Array) => object
  Instance: new (compiled: object, imports: object) => { exports: Record<string, unknown> }
}

/** What `tile` adds up, and the memory it does so in. */
export interface GramKernel {
  readonly memory: ArrayBuffer
  /**
   * product[0…3][0…3] += Σ left[row][0…3]ᵀ right[row][0…3]; all places in bytes. `left` and `right` are panels of rows of four doubles,
   * `leftEnd` is where the left one ends; a row of the product is `stride` bytes long.
   */
  tile(left: number, right: number, leftEnd: number, product: number, stride: number): void
}

const PAGE_BYTES = 65_536

/** A kernel with memory of its own, zeros. Throws OUT_OF_MEMORY when there is none of so many bytes; WebAssembly has 4 GB at most. */
export function gramKernel(bytes: number): GramKernel {
  const memory = newMemory(bytes)
  compiled ??= new WebAssembly.Module(moduleBytes())
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } })
  return { memory: memory.buffer, tile: exports.tile as GramKernel['tile'] }
}

let compiled: object | undefined

function newMemory(bytes: number) {
  try {
    return new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) })
  } catch (error) {
    const message = `products of layers' states need ${Math.round(bytes / 1e6)} MB in one piece, which could not be had (at most 4,294); compare fewer layers at once`
    throw new StrataError('OUT_OF_MEMORY', message, { cause: error })
  }
}

const I32 = 0x7f
const V128 = 0x7b
const [GET, SET, I32_CONST, I32_ADD, LESS, LOOP, NO_VALUE, BRANCH_IF, END] = [
  0x20, 0x21, 0x41, 0x6a, 0x49, 0x03, 0x40, 0x0d, 0x0b,
]
const LOAD = [0xfd, 0x00]
const LOAD_SPLAT = [0xfd, 0x0a]
const STORE = [0xfd, 0x0b]
const ADD = [0xfd, 0xf0, 0x01]
const MULTIPLY = [0xfd, 0xf2, 0x01]

/** Parameters, then the sums by row and pair of columns, then a row of the right panel and one number of the left one. */
const [left, right, leftEnd, product, stride] = [0, 1, 2, 3, 4]
const sumOf = (row: number, pair: number): number => 5 + 2 * row + pair
const rightOf = (pair: number): number => 13 + pair
const factor = 15

const FOUR = [0, 1, 2, 3]
const PAIRS = [0, 1]
const DOUBLE = 8
const PAIR = 16
const ROW = 32

function moduleBytes(): Uint8Array {
  const name = (text: string) => [text.length, ...Buffer.from(text)]
  const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content]
  const locals = [1, 11, V128]
  const body = [...locals, ...tileCode(), END]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    // One type: five places, no result.
    ...section(1, [1, 0x60, 5, I32, I32, I32, I32, I32, 0]),
    // The memory comes from outside, of any size.
    ...section(2, [1, ...name('env'), ...name('memory'), 0x02, 0x00, 0x00]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('tile'), 0x00, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ])
}

function tileCode(): number[] {
  const step = (place: number, bytes: number) => [GET, place, I32_CONST, ...signed(bytes), I32_ADD, SET, place]
  const row = [
    ...PAIRS.flatMap((pair) => [GET, right, ...LOAD, ...at(PAIR * pair), SET, rightOf(pair)]),
    ...FOUR.flatMap((line) => [
      ...[GET, left, ...LOAD_SPLAT, ...at(DOUBLE * line), SET, factor],
      ...PAIRS.flatMap((pair) => [
        ...[GET, sumOf(line, pair), GET, factor, GET, rightOf(pair), ...MULTIPLY, ...ADD, SET, sumOf(line, pair)],
      ]),
    ]),
    ...step(left, ROW),
    ...step(right, ROW),
  ]
  const added = FOUR.flatMap((line) => [
    ...PAIRS.flatMap((pair) => [
      ...[GET, product, GET, product, ...LOAD, ...at(PAIR * pair), GET, sumOf(line, pair), ...ADD, ...STORE],
      ...at(PAIR * pair),
    ]),
    ...[GET, product, GET, stride, I32_ADD, SET, product],
  ])
  return [LOOP, NO_VALUE, ...row, GET, left, GET, leftEnd, LESS, BRANCH_IF, 0, END, ...added]
}

/** Alignment to 8 bytes, and an offset. */
const at = (offset: number): number[] => [3, ...unsigned(offset)]

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]
}

function signed(value: number): number[] {
  const low = value & 127
  const rest = value >> 7
  const isLast = (rest === 0 && low < 64) || (rest === -1 && low >= 64)
  return isLast ? [low] : [low | 128, ...signed(rest)]
}
