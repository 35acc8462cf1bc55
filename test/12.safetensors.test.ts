/** The safetensors format: each rule of the reader, the writer's layout, files from and for Hugging Face's library. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encoderConfig, inspectSafetensors, Model } from '../lib/model/index.js'
import { makeHeader, parseHeader } from '../lib/model/safetensors.js'
import { refuses } from './helpers/refuses.js'
import { smallModel } from './helpers/small-model.js'

/** A file of header text and data bytes; `announced` overrides the header's length. */
function fileBytes(header: string | Buffer, dataBytes: number, announced?: bigint): Buffer {
  const text = Buffer.from(header as string)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(announced ?? BigInt(text.length))
  return Buffer.concat([length, text, Buffer.alloc(dataBytes)])
}

function tensor(dtype: string, shape: unknown, ...offsets: unknown[]): object {
  return { dtype, shape, data_offsets: offsets }
}

describe('safetensors', function () {
  this.timeout(60_000)
  let folder: string
  let file: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-safetensors-'))
    file = join(folder, 'file.safetensors')
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  const inspect = (bytes: Buffer) => {
    writeFileSync(file, bytes)
    return inspectSafetensors(file)
  }
  const inspectHeader = (header: object | string, dataBytes: number) =>
    inspect(fileBytes(typeof header === 'string' ? header : JSON.stringify(header), dataBytes))

  describe('refused', () => {
    const one = tensor('F32', [2], 0, 8)
    // biome-ignore format: a table, one rule a line
    const rules: [string, () => Buffer, ...string[]][] = [
      ['an empty file', () => Buffer.alloc(0), '0 bytes', 'at least 8'],
      ['a file of 7 bytes', () => Buffer.alloc(7), '7 bytes', 'at least 8'],
      ['a header of more than 100 000 000 bytes', () => fileBytes('{}', 0, 100_000_001n), '100000001', '100000000'],
      ['a header length of 2^64 - 1', () => fileBytes('{}', 0, 2n ** 64n - 1n), '18446744073709551615'],
      ['a header length of 2^63', () => fileBytes('{}', 0, 2n ** 63n), '9223372036854775808'],
      ['a header that goes past the end', () => fileBytes('{}', 0, 3n), '3 bytes', 'has 2'],
      ['a header without bytes', () => fileBytes('', 8), 'JSON'],
      ['a header that is not UTF-8', () => fileBytes(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 0), 'UTF-8'],
      ['a header that is no JSON', () => fileBytes('{"a":', 0), 'JSON'],
      ['JSON with something behind it', () => fileBytes('{} {}', 0), 'JSON'],
      ['a header padded with NUL', () => fileBytes('{}\0\0', 0), 'JSON'],
      ['a list', () => fileBytes('[]', 0), 'JSON object'],
      ['null', () => fileBytes('null', 0), 'JSON object'],
      ['metadata that is no object', () => fileBytes('{"__metadata__":"x"}', 0), '__metadata__'],
      ['metadata with a number', () => fileBytes('{"__metadata__":{"epoch":3}}', 0), '__metadata__', 'strings'],
      ['metadata with an object', () => fileBytes('{"__metadata__":{"a":{}}}', 0), '__metadata__'],
      ['a tensor twice', () => fileBytes(`{"a":${JSON.stringify(one)},"a":${JSON.stringify(one)}}`, 8), '"a"', 'twice'],
      ['a tensor twice, once with an escape', () => fileBytes(`{"a":${JSON.stringify(one)},"\\u0061":${JSON.stringify(one)}}`, 8), '"a"', 'twice'],
      ['a tensor twice, the colon far away', () => fileBytes(`{"a":${JSON.stringify(one)},"a"${' '.repeat(500)}:${JSON.stringify(one)}}`, 8), '"a"', 'twice'],
      ['metadata twice', () => fileBytes('{"__metadata__":{},"__metadata__":{}}', 0), '__metadata__', 'twice'],
      ['a dtype twice', () => fileBytes('{"a":{"dtype":"F64","shape":[2],"dtype":"F32","data_offsets":[0,8]}}', 8), '"dtype"', 'twice'],
      ['a tensor that is a number', () => fileBytes('{"a":3}', 0), '"a"', 'object'],
      ['a tensor that is null', () => fileBytes('{"a":null}', 0), '"a"', 'object'],
      ['no dtype', () => fileBytes('{"a":{"shape":[2],"data_offsets":[0,8]}}', 8), '"a"', 'dtype', 'F32'],
      ['an unknown dtype', () => fileBytes(JSON.stringify({ a: tensor('F31', [2], 0, 8) }), 8), '"a"', 'F31', 'F32'],
      ['a dtype of the prototype', () => fileBytes(JSON.stringify({ a: tensor('constructor', [2], 0, 8) }), 8), 'constructor'],
      ['no shape', () => fileBytes('{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8), '"a"', 'shape'],
      ['a negative size', () => fileBytes(JSON.stringify({ a: tensor('F32', [-2], 0, 8) }), 8), '"a"', 'shape', '-2'],
      ['half a size', () => fileBytes(JSON.stringify({ a: tensor('F32', [0.5], 0, 2) }), 2), '"a"', 'shape', '0.5'],
      ['a size as text', () => fileBytes(JSON.stringify({ a: tensor('F32', ['2'], 0, 8) }), 8), '"a"', 'shape'],
      ['a size above 2^53', () => fileBytes('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,8]}}', 8), '"a"', 'shape'],
      ['a shape whose bytes overflow', () => fileBytes(JSON.stringify({ a: tensor('F32', [2 ** 40, 2 ** 40], 0, 8) }), 8), '"a"', 'larger than any file'],
      ['a shape that overflows before it is multiplied by 0', () => fileBytes(JSON.stringify({ a: tensor('F32', [2 ** 40, 2 ** 40, 0], 0, 0) }), 0), '"a"', 'larger than any file'],
      ['no offsets', () => fileBytes('{"a":{"dtype":"F32","shape":[2]}}', 8), '"a"', 'data_offsets'],
      ['three offsets', () => fileBytes(JSON.stringify({ a: tensor('F32', [2], 0, 8, 8) }), 8), '"a"', 'data_offsets', '[0,8,8]'],
      ['an offset above 2^53', () => fileBytes('{"a":{"dtype":"U8","shape":[1],"data_offsets":[9007199254740993,9007199254740994]}}', 8), '"a"', 'data_offsets'],
      ['a negative offset', () => fileBytes(JSON.stringify({ a: tensor('F32', [2], -8, 0) }), 8), '"a"', 'data_offsets'],
      ['an end before the begin', () => fileBytes(JSON.stringify({ a: tensor('F32', [2], 8, 0) }), 8), '"a"', '[8,0]'],
      ['fewer bytes than the shape has', () => fileBytes(JSON.stringify({ a: tensor('F32', [3], 0, 8) }), 8), '"a"', '8 bytes', '12'],
      ['more bytes than the shape has', () => fileBytes(JSON.stringify({ a: tensor('F16', [2], 0, 8) }), 8), '"a"', '8 bytes', '4'],
      ['offsets that do not begin at 0', () => fileBytes(JSON.stringify({ a: tensor('F32', [1], 4, 8) }), 8), '"a"', 'hole'],
      ['overlapping tensors', () => fileBytes(JSON.stringify({ a: tensor('F32', [2], 0, 8), b: tensor('F32', [1], 4, 8) }), 8), '"b"', 'overlaps'],
      ['two tensors in one place', () => fileBytes(JSON.stringify({ a: one, b: one }), 8), 'overlaps'],
      ['a hole between tensors', () => fileBytes(JSON.stringify({ a: tensor('F32', [1], 0, 4), b: tensor('F32', [1], 8, 12) }), 12), '"b"', 'hole'],
      ['bytes behind the last tensor', () => fileBytes(JSON.stringify({ a: one }), 9), '9 bytes', '8'],
      ['a truncated last tensor', () => fileBytes(JSON.stringify({ a: one }), 7), '7 bytes', '8'],
      ['bytes without any tensor', () => fileBytes('{}', 1), '1 bytes', '0'],
    ]
    for (const [name, bytes, ...parts] of rules) {
      it(name, () => {
        assert.throws(() => inspect(bytes()), refuses('BAD_FILE', file, ...parts))
      })
    }

    it('a missing file, a folder, a pipe', () => {
      assert.throws(() => inspectSafetensors(join(folder, 'missing')), refuses('NOT_FOUND', 'missing'))
      assert.throws(() => inspectSafetensors(folder), refuses('BAD_FILE', folder))
      if (process.platform === 'win32') return
      const pipe = join(folder, 'pipe')
      execFileSync('mkfifo', [pipe])
      assert.throws(() => inspectSafetensors(pipe), refuses('BAD_FILE', 'plain file'))
    })

    it('what the file says is cut short in the message', () => {
      const long = 'x'.repeat(1_000_000)
      for (const header of [{ [long]: 3 }, { a: tensor(long, [2], 0, 8) }, { a: tensor('F32', [long], 0, 8) }]) {
        assert.throws(
          () => inspectHeader(header, 8),
          (error: Error) => refuses('BAD_FILE')(error) && error.message.length < 600,
        )
      }
      const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
      assert.throws(
        () => inspectHeader(`{"a":{"dtype":${deep},"shape":[],"data_offsets":[0,4]}}`, 4),
        refuses('BAD_FILE'),
      )
    })
  })

  describe('accepted', () => {
    it('spaces before and behind the header', () => {
      const header = JSON.stringify({ a: tensor('F32', [2], 0, 8) })
      for (const text of [`${header}   `, `  ${header}`, `\n${header}\n`]) {
        assert.deepEqual(inspect(fileBytes(text, 8)).tensors, [
          { name: 'a', dtype: 'F32', shape: [2], begin: 8 + text.length, bytes: 8 },
        ])
      }
    })

    it('tensors without elements and of rank 0, in any order of the header', () => {
      const { tensors } = inspectHeader(
        {
          last: tensor('F64', [], 2, 10),
          none: tensor('F32', [0, 4], 2, 2),
          first: tensor('BF16', [1], 0, 2),
          nothing: tensor('F32', [3, 0], 0, 0),
        },
        10,
      )
      assert.deepEqual(
        tensors.map(({ name, bytes }) => [name, bytes]),
        [
          ['last', 8],
          ['none', 0],
          ['first', 2],
          ['nothing', 0],
        ],
      )
    })

    it('a file without tensors; names like __proto__ and numbers', () => {
      assert.deepEqual(inspectHeader({ __metadata__: { a: 'b' } }, 0), { metadata: { a: 'b' }, tensors: [] })
      const { tensors } = inspectHeader(
        '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"1":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        2,
      )
      assert.deepEqual(tensors.map(({ name }) => name).sort(), ['1', '__proto__'])
    })

    it('equal strings that are values, and quotes and braces inside strings, are no duplicates', () => {
      const { metadata } = inspectHeader('{"__metadata__":{"a":"a","b":"a","c":"{\\"a\\":1,\\"a\\":\\\\"}}', 0)
      assert.deepEqual(metadata, { a: 'a', b: 'a', c: '{"a":1,"a":\\' })
    })
  })

  describe('written', () => {
    it('header in multiples of 8 bytes, whatever the names and metadata are', () => {
      for (const name of ['a', 'ab', 'größe', '重み', '__proto__', '0', '"quoted"', '\u0000']) {
        for (const note of ['', 'x', 'ün', '"\\']) {
          const header = makeHeader(
            [
              { name, dtype: 'F64', shape: [2, 3] },
              { name: 'second', dtype: 'F32', shape: [] },
            ],
            { note },
          )
          assert.equal(Buffer.byteLength(header) % 8, 0)
          assert.equal(header[0], '{')
          const { metadata, tensors } = parseHeader(Buffer.from(header), 52, 'memory')
          assert.deepEqual(metadata, { note })
          assert.deepEqual(
            tensors.find((found) => found.name === name),
            {
              name,
              dtype: 'F64',
              shape: [2, 3],
              begin: 8 + Buffer.byteLength(header),
              bytes: 48,
            },
          )
        }
      }
    })

    for (const precision of ['fp32', 'fp64', 'bf16'] as const) {
      it(`${precision}: weights come back bit for bit, data begin at a multiple of 8, no other file stays`, async () => {
        const own = join(folder, precision)
        execFileSync('mkdir', [own])
        const path = join(own, 'model.safetensors')
        await using model = await smallModel({ precision, seed: 4 })
        await using other = await smallModel({ precision, seed: 5 })
        const mapping = Object.fromEntries(model.parameters().map(({ name }) => [name, `ours.${name}`]))
        await other.save(path, mapping)
        await model.save(path, mapping, { epoch: '3' })
        const info = inspectSafetensors(path)
        assert.deepEqual(info.metadata, { epoch: '3' })
        assert.equal(info.tensors.length, model.parameters().length)
        assert.ok(info.tensors.every(({ dtype }) => dtype === (precision === 'fp64' ? 'F64' : 'F32')))
        assert.equal(info.tensors[0].begin % 8, 0)
        assert.deepEqual(readdirSync(own), ['model.safetensors'])
        await other.load(path, mapping)
        assert.deepEqual(await other.readTensors('value'), await model.readTensors('value'))
      })
    }

    it('two tensors under one name are refused, and nothing is written', async () => {
      await using model = await smallModel()
      const path = join(folder, 'twice.safetensors')
      const saved = model.save(path, { 'heads.mlm.bias': 'x', 'heads.nsp.pooler.bias': 'x' })
      await assert.rejects(saved, refuses('BAD_ARGUMENT', '"x"'))
      await assert.rejects(
        model.save(path, { 'heads.mlm.bias': '__metadata__' }),
        refuses('BAD_ARGUMENT', '__metadata__'),
      )
      assert.ok(!readdirSync(folder).includes('twice.safetensors'))
    })
  })

  describe("files of Hugging Face's library", () => {
    const fixture = join(__dirname, 'golden/from-python.safetensors')
    const values = [0.5, -1.25, 3, 0, -2, 64]

    it('the header is read as it was written', () => {
      const { metadata, tensors } = inspectSafetensors(fixture)
      assert.deepEqual(metadata, { format: 'pt', note: 'quotes " and ünïcode' })
      const described = Object.fromEntries(
        tensors.map(({ name, dtype, shape }) => [name, `${dtype} ${shape.join('x')}`]),
      )
      assert.deepEqual(described, {
        f64: 'F64 2x3',
        f32: 'F32 3x2',
        f16: 'F16 6',
        bf16: 'BF16 6',
        i64: 'I64 4',
        u8: 'U8 5',
        bool: 'BOOL 3',
        scalar: 'F32 ',
        empty: 'F32 0x4',
        'größe.β': 'F32 1',
      })
    })

    it('float16 and bfloat16 weights are widened; integers are refused; a wrong shape names both', async () => {
      const encoder = encoderConfig({ vocabSize: 6, layers: 1, hiddenSize: 2, heads: 1 })
      const heads = [{ name: 'mlm', kind: 'masked-lm' as const, tap: { layer: 1 }, weight: 1 }]
      for (const precision of ['fp32', 'fp64'] as const) {
        await using model = await Model.create({ encoder, heads }, { device: 'cpu', precision })
        for (const name of ['f16', 'bf16']) {
          await model.load(fixture, { 'heads.mlm.bias': name })
          const read = await model.readTensors('value', ['heads.mlm.bias'])
          assert.deepEqual([...read['heads.mlm.bias']], values, `${name} into ${precision}`)
        }
        const before = await model.readTensors('value')
        const bad = (mapping: Record<string, string>, code: string, ...parts: string[]) =>
          assert.rejects(model.load(fixture, mapping), refuses(code, ...parts))
        await bad({ 'heads.mlm.bias': 'f32' }, 'BAD_CHECKPOINT', 'f32', '[3,2]', '[6]', 'heads.mlm.bias')
        await bad({ 'heads.mlm.bias': 'nothing' }, 'BAD_CHECKPOINT', 'nothing', 'heads.mlm.bias')
        await bad({ 'no.such': 'f16' }, 'NOT_FOUND', 'no.such')
        assert.deepEqual(await model.readTensors('value'), before)
      }
      const four = encoderConfig({ vocabSize: 4, layers: 1, hiddenSize: 2, heads: 1 })
      await using model = await Model.create({ encoder: four, heads }, { device: 'cpu' })
      await assert.rejects(model.load(fixture, { 'heads.mlm.bias': 'i64' }), refuses('BAD_FILE', 'i64', 'I64', 'F32'))
    })

    it('reads ours (with STRATABERT_PYTHON)', async function () {
      const python = process.env.STRATABERT_PYTHON
      if (!python) this.skip()
      const path = join(folder, 'ours.safetensors')
      await using model = await smallModel()
      await model.save(path, { 'heads.mlm.bias': 'größe', 'heads.nsp.pooler.weight': 'pooler' }, { note: 'ünïcode' })
      const script = `
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], 'np') as f:
    print(json.dumps([f.metadata(), {k: f.get_tensor(k).shape for k in f.keys()}, float(f.get_tensor('pooler').sum())]))`
      const { stdout, stderr } = spawnSync(python, ['-c', script, path], { encoding: 'utf8' })
      const [metadata, shapes, sum] = JSON.parse(stdout || `["${stderr}"]`)
      assert.deepEqual(metadata, { note: 'ünïcode' })
      assert.deepEqual(shapes, { größe: [61], pooler: [32, 32] })
      const pooler = (await model.readTensors('value', ['heads.nsp.pooler.weight']))['heads.nsp.pooler.weight']
      assert.ok(Math.abs((pooler as Float32Array).reduce((total, value) => total + value, 0) - sum) < 1e-3)
    })

    it('the fixture is the one that its script describes', () => {
      const bytes = readFileSync(fixture)
      const scalar = inspectSafetensors(fixture).tensors.find(({ name }) => name === 'scalar')!
      assert.equal(bytes.readFloatLE(scalar.begin), 7.5)
    })
  })
})
