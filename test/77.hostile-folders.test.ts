/**
 * Checkpoint folders that somebody made to do harm, or that broke: refused with a typed error or loaded and working, with nothing
 * written, nothing executed, nothing read from outside and no memory taken for what is not there. 150 generated folders; 6,000 with
 * STRATABERT_LONG=1.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { StrataError } from '../lib/errors.js'
import { Encoder } from '../lib/inference/index.js'
import { computeThreads, extractAdapter } from '../lib/model/index.js'
import { readTrainingState, saveCheckpoint } from '../lib/training/index.js'
import { SEED } from './helpers/fuzz.js'
import { type Damage, damages, type Files, goodFolder, safetensorsFile, writeFolder } from './helpers/hostile-folder.js'

const CASES = process.env.STRATABERT_LONG === '1' ? 6000 : 150
const LONGEST_CASE_MS = 10_000
/** Above what the process had before; the largest file here has some megabytes. */
const LARGEST_GROWTH_BYTES = 600e6
const REFUSALS = ['BAD_CHECKPOINT', 'BAD_FILE', 'BAD_DATA', 'UNSUPPORTED', 'NOT_FOUND']
const SECRET = 'the secret of the machine'

describe('hostile folders', function () {
  this.timeout(CASES > 150 ? 1_200_000 : 60_000)
  let root: string
  let ours: Files
  let published: Files

  before(async () => {
    computeThreads(1)
    root = mkdtempSync(join(tmpdir(), 'stratabert-hostile-'))
    writeFileSync(join(root, 'secret.json'), JSON.stringify({ secret: SECRET }))
    ;[ours, published] = await Promise.all([goodFolder('ours'), goodFolder('published')])
  })
  after(() => rmSync(root, { recursive: true, force: true }))

  /** Loads a folder and asks all that its files serve. */
  async function use(path: string, adapterFolders?: string[]): Promise<void> {
    const encoder = await Encoder.load(path, { device: 'cpu', ...(adapterFolders && { adapterFolders }) })
    try {
      const { vectors } = await encoder.embed(['the cat', '[MASK] 猫'])
      assert.deepEqual(
        vectors.map(({ length }) => length),
        [encoder.dimension, encoder.dimension],
      )
      const [task] = encoder.tasks
      if (task?.kind === 'classification' && !task.pair) {
        const [{ labels }] = await encoder.classify(['the cat'], { task: task.name })
        assert.equal(labels.length, task.labels?.length)
      }
    } finally {
      await encoder.dispose()
    }
  }

  /** A folder of the name with the damage done, as it is before and after it is loaded. */
  async function refused(good: Files, done: readonly Damage[], ...parts: string[]): Promise<void> {
    const path = mkdtempSync(join(root, 'bad-'))
    writeFolder(path, good, done)
    await refusedAt(path, ...parts)
    rmSync(path, { recursive: true })
  }

  async function refusedAt(path: string, ...parts: string[]): Promise<void> {
    const before = listing(path)
    await assert.rejects(use(path), (error) => {
      assert.ok(error instanceof StrataError, `${error instanceof Error ? error.stack : error}`)
      assert.ok(REFUSALS.includes(error.code), `${error.code}: ${error.message}`)
      assert.ok(error.message.length < 2000 && !error.message.includes(SECRET), error.message)
      for (const part of parts) assert.ok(error.message.includes(part), `"${error.message}" should name "${part}"`)
      return true
    })
    assert.deepEqual(listing(path), before)
  }

  const listing = (path: string): string[] => readdirSync(path, { recursive: true }).map(String).sort()
  const field = (file: string, path: string, raw?: string): Damage => ({ kind: 'field', file, path, raw })
  const whole = (file: string, text: string | Buffer): Damage => ({ kind: 'whole', file, text })
  const link = (file: string, target: string): Damage => ({ kind: 'link', file, target })
  const replacement = (content: string) => `{"type":"Replace","pattern":{"String":"a"},"content":"${content}"}`

  it('the folders themselves work', async () => {
    for (const good of [ours, published]) {
      const path = mkdtempSync(join(root, 'good-'))
      writeFolder(path, good, [])
      await use(path)
      rmSync(path, { recursive: true })
    }
  })

  // biome-ignore format: a table, one attack a line
  const attacks: [string, 'ours' | 'published', Damage[], ...string[]][] = [
    ['an index of shards that leads out by ..', 'published', [{ kind: 'remove', file: 'model.safetensors' }, whole('model.safetensors.index.json', '{"weight_map":{"bert.pooler.dense.bias":"../secret.json"}}')], 'model.safetensors.index.json'],
    ['an index of shards with an absolute path', 'published', [{ kind: 'remove', file: 'model.safetensors' }, whole('model.safetensors.index.json', '{"weight_map":{"bert.pooler.dense.bias":"/etc/passwd"}}')], 'model.safetensors.index.json'],
    ['config.json linked to a file outside', 'ours', [link('config.json', '../secret.json')], 'config.json', 'link'],
    ['weights linked to a file outside', 'ours', [link('model.safetensors', '../secret.json')], 'model.safetensors', 'link'],
    ['stratabert.json linked to a file outside', 'ours', [link('stratabert.json', '../secret.json')], 'stratabert.json', 'link'],
    ['a tokenizer linked to a file outside', 'ours', [link('tokenizer.json', '../secret.json')], 'tokenizer.json', 'link'],
    ['vocab.txt linked to a file outside', 'ours', [{ kind: 'remove', file: 'tokenizer.json' }, link('vocab.txt', '/etc/passwd')], 'vocab.txt', 'link'],
    ['links in a circle', 'ours', [link('config.json', 'model.safetensors'), link('model.safetensors', 'config.json')], 'config.json'],
    ['a device in place of a file', 'ours', [link('tokenizer.json', '/dev/zero')], 'tokenizer.json'],
    ['JSON nested a million deep: config.json', 'ours', [whole('config.json', '['.repeat(1_000_000))], 'config.json', 'deep'],
    ['JSON nested a million deep: stratabert.json', 'ours', [whole('stratabert.json', `${'{"a":'.repeat(1_000_000)}1${'}'.repeat(1_000_000)}`)], 'stratabert.json', 'deep'],
    ['JSON nested a million deep: tokenizer.json', 'ours', [whole('tokenizer.json', `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)], 'tokenizer.json', 'deep'],
    ['JSON nested a million deep: the weights\' header', 'ours', [whole('model.safetensors', safetensorsFile(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`, Buffer.alloc(0)))], 'model.safetensors', 'deep'],
    ['a hidden size of a billion', 'ours', [field('config.json', 'hidden_size', '1000000000')], '1000000000'],
    ['a vocabulary of two billion', 'published', [field('config.json', 'vocab_size', '2147483647')], '2147483647'],
    ['4096 layers and adapters in each', 'ours', [field('config.json', 'num_hidden_layers', '4096')], '4096'],
    ['20,000 adapters', 'ours', [{ kind: 'many', file: 'stratabert.json', path: 'adapters', count: 20_000 }], 'adapters'],
    ['a million attention blocks on top', 'ours', [field('stratabert.json', 'adapters.0', '{"name":"mood","kind":"top-attention","size":4,"heads":2,"blocks":1000000}')], 'mood'],
    ['an adapter of a million columns', 'ours', [field('stratabert.json', 'adapters.0.size', '1000000')], 'adapters.mood'],
    ['a million classes', 'ours', [field('stratabert.json', 'heads.2.classes', '1000000')], 'heads.tags'],
    ['a head that the weights lack', 'ours', [field('stratabert.json', 'heads.2.name', '"other"')], 'heads.other'],
    ['a classifier of a quadrillion rows without columns', 'published', [{ kind: 'header', tensor: 'classifier.weight', path: 'shape', raw: '[1000000000000000,0]' }], 'classifier.weight'],
    ['weights of bytes', 'ours', [{ kind: 'header', tensor: 'bert.embeddings.LayerNorm.bias', path: 'dtype', raw: '"I32"' }], 'I32'],
    ['two tensors of one name', 'ours', [{ kind: 'rename', tensor: 'bert.embeddings.LayerNorm.bias', name: 'bert.embeddings.LayerNorm.weight' }], 'twice'],
    ['a tokenizer with a regular expression without end', 'ours', [field('tokenizer.json', 'normalizer', '{"type":"Replace","pattern":{"Regex":"(a*)*b"},"content":""}')], 'tokenizer.json', 'regular expression'],
    ['a tokenizer that doubles its text forty times', 'ours', [field('tokenizer.json', 'normalizer', `{"type":"Sequence","normalizers":[${new Array(40).fill(replacement('aa')).join()}]}`)], 'tokenizer.json', 'longer'],
    ['a tokenizer that writes its bytes as characters forty times', 'ours', [field('tokenizer.json', 'normalizer', `{"type":"Sequence","normalizers":[${new Array(40).fill('{"type":"ByteLevel"}').join()}]}`)], 'tokenizer.json', 'more than twice'],
    ['a pre-tokenizer that does', 'ours', [field('tokenizer.json', 'pre_tokenizer', `{"type":"Sequence","pretokenizers":[${new Array(40).fill('{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}').join()}]}`)], 'tokenizer.json', 'more than twice'],
    ['a tokenizer that puts a book before every text', 'ours', [field('tokenizer.json', 'normalizer', `{"type":"Prepend","prepend":"${'book'.repeat(100_000)}"}`)], 'tokenizer.json', 'before every text'],
    ['a tokenizer of 60 normalisers and 60 pre-tokenizers', 'ours', [field('tokenizer.json', 'normalizer', `{"type":"Sequence","normalizers":[${new Array(60).fill('{"type":"NFKD"}').join()}]}`), field('tokenizer.json', 'pre_tokenizer', `{"type":"Sequence","pretokenizers":[${new Array(60).fill('{"type":"Whitespace"}').join()}]}`)], 'tokenizer.json', 'parts'],
    ['a tokenizer of ten thousand normalisers', 'ours', [field('tokenizer.json', 'normalizer', `{"type":"Sequence","normalizers":[${new Array(10_000).fill('{"type":"NFKD"}').join()}]}`)], 'tokenizer.json', 'parts'],
    ['a tokenizer whose words have no end', 'ours', [field('tokenizer.json', 'model.max_input_chars_per_word', '1e9')], 'max_input_chars_per_word'],
  ]
  for (const [name, make, done, ...parts] of attacks) {
    it(name, () => refused(make === 'ours' ? ours : published, done, ...parts))
  }

  it('a head that a folder of other programs holds in part answers, and a warning names what was drawn', async () => {
    const path = mkdtempSync(join(root, 'part-'))
    writeFolder(path, published, [{ kind: 'rename', tensor: 'classifier.bias', name: 'classifier.bios' }])
    const warnings: string[] = []
    const heard = ({ name, message }: Error) => name === 'StratabertWarning' && warnings.push(message)
    process.on('warning', heard)
    await use(path)
    await new Promise(setImmediate)
    process.off('warning', heard)
    assert.equal(warnings.length, 1)
    assert.match(warnings[0], /lacks \S*classifier\S*bias, drawn at random/)
  })

  it('a pipe in place of a file is not waited for', async function () {
    if (process.platform === 'win32') this.skip()
    for (const file of ['config.json', 'tokenizer.json', 'model.safetensors', 'stratabert.json']) {
      const path = mkdtempSync(join(root, 'pipe-'))
      const rest = new Map(ours)
      rest.delete(file)
      writeFolder(path, rest, [])
      execFileSync('mkfifo', [join(path, file)])
      await refusedAt(path, file)
    }
  })

  it('weights with a hole of a terabyte', async () => {
    const path = join(root, 'hole')
    writeFolder(path, ours, [])
    truncateSync(join(path, 'model.safetensors'), 2 ** 40)
    await refusedAt(path, 'model.safetensors')
    // A header that fits the hole: as large as the file says, and larger than the machine.
    const rows = 2 ** 31 - 1
    writeFolder(path, ours, [field('config.json', 'vocab_size', String(rows))])
    const bytes = readFileSync(join(path, 'model.safetensors'))
    const length = Number(bytes.readBigUInt64LE())
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
    let end = 0
    for (const [name, entry] of Object.entries<any>(header)) {
      if (name === '__metadata__') continue
      if (entry.shape[0] === 59) entry.shape[0] = rows
      const size = 4 * entry.shape.reduce((a: number, b: number) => a * b, 1)
      entry.data_offsets = [end, end + size]
      end += size
    }
    const text = JSON.stringify(header)
    writeFileSync(join(path, 'model.safetensors'), safetensorsFile(text, Buffer.alloc(0)))
    truncateSync(join(path, 'model.safetensors'), 8 + text.length + end)
    await assert.rejects(use(path), { name: 'StrataError', code: 'OUT_OF_MEMORY' })
  })

  it('links inside the folder and into the blobs of a Hugging Face cache are followed', async () => {
    const cache = join(root, 'models--x--y')
    const snapshot = join(cache, 'snapshots', 'f0'.repeat(20))
    mkdirSync(join(cache, 'blobs'), { recursive: true })
    mkdirSync(snapshot, { recursive: true })
    for (const [name, bytes] of published) {
      writeFileSync(join(cache, 'blobs', `blob-of-${name}`), bytes)
      symlinkSync(join('..', '..', 'blobs', `blob-of-${name}`), join(snapshot, name))
    }
    await use(snapshot)
    const path = join(root, 'mounted')
    mkdirSync(join(path, '..data'), { recursive: true })
    for (const [name, bytes] of ours) {
      writeFileSync(join(path, '..data', name), bytes)
      symlinkSync(join('..data', name), join(path, name))
    }
    await use(path)
  })

  it('links are followed where the environment says so', async () => {
    const path = join(root, 'linked')
    const elsewhere = join(root, 'elsewhere')
    writeFolder(elsewhere, ours, [])
    writeFolder(
      path,
      ours,
      [...ours.keys()].map((name) => link(name, join(elsewhere, name))),
    )
    await refusedAt(path, 'STRATABERT_FOLLOW_LINKS')
    process.env.STRATABERT_FOLLOW_LINKS = '1'
    try {
      await use(path)
    } finally {
      delete process.env.STRATABERT_FOLLOW_LINKS
    }
  })

  it('a manifest that names files outside, devices and pipes', async () => {
    const run = join(root, 'run')
    const write = async (folder: string) => writeFolder(folder, ours, [])
    const { path } = await saveCheckpoint({ runPath: run, step: 1, keep: 0, write })
    await use(run)
    const file = join(path, 'manifest.json')
    const manifest = JSON.parse(readFileSync(file, 'utf8'))
    for (const name of [
      '../../../secret.json',
      '/etc/passwd',
      '/dev/zero',
      'config.json/../../../../secret.json',
      'a\0b',
    ]) {
      writeFileSync(
        file,
        JSON.stringify({ ...manifest, files: [...manifest.files, { name, bytes: 0, sha256: '0'.repeat(64) }] }),
      )
      await refusedAt(run, 'manifest.json')
    }
    writeFileSync(
      file,
      JSON.stringify({ ...manifest, files: [...manifest.files, { name: 'zero', bytes: 0, sha256: '0'.repeat(64) }] }),
    )
    symlinkSync('/dev/zero', join(path, 'zero'))
    await refusedAt(run, 'zero')
    writeFileSync(file, '['.repeat(1_000_000))
    await refusedAt(run, 'manifest.json')
  })

  it('a training state that leads out, is a pipe or has no end is not read, and told where the weights are whole', async () => {
    const refusal = { name: 'StrataError', code: 'BAD_CHECKPOINT', message: /training-state\.json/ }
    const file = 'training-state.json'
    const made: ((path: string) => void)[] = [
      (path) => writeFolder(path, ours, [link(file, '../secret.json')]),
      (path) => writeFolder(path, ours, [link(file, '/dev/zero')]),
      (path) => writeFolder(path, ours, [whole(file, '['.repeat(1_000_000))]),
      (path) => writeFolder(path, ours, [whole(file, `{"finished":[${new Array(300).fill('{"a":1}').join()}]}`)]),
    ]
    if (process.platform !== 'win32') made.push((path) => execFileSync('mkfifo', [join(path, file)]))
    const told: string[] = []
    const listen = ({ message }: Error) => void told.push(message)
    process.on('warning', listen)
    try {
      for (const make of made) {
        const path = mkdtempSync(join(root, 'state-'))
        writeFolder(path, ours, [])
        make(path)
        await assert.rejects(readTrainingState(path), refusal)
        await use(path)
      }
    } finally {
      process.off('warning', listen)
    }
    assert.equal(told.length, made.length)
    for (const message of told) {
      assert.match(
        message,
        /^which tasks the stage of this checkpoint has trained is not known: .*training-state\.json/,
      )
      assert.ok(message.length < 2000 && !message.includes(SECRET), message)
    }
  })

  it('a folder of an adapter that asks for more than it brings', async () => {
    const base = join(root, 'base')
    const adapter = join(root, 'adapter')
    writeFolder(base, ours, [])
    await extractAdapter(base, 'mood', adapter)
    const plain = join(root, 'plain')
    writeFolder(plain, published, [])
    const description = JSON.parse(readFileSync(join(adapter, 'adapter.json'), 'utf8'))
    const json = (change: (copy: any) => void): string => {
      const copy = structuredClone(description)
      change(copy)
      return JSON.stringify(copy)
    }
    // biome-ignore format: a table
    const attacked: [string, ...string[]][] = [
      [json((copy) => { copy.adapter.size = 1_000_000 }), 'adapters.mood'],
      [json((copy) => { copy.adapter = { name: 'mood', kind: 'top-attention', size: 4, heads: 2, blocks: 1_000_000 } }), 'mood'],
      [json((copy) => { copy.heads[0].classes = 1_000_000; copy.tasks = [] }), 'heads.mood'],
      [json((copy) => { copy.base.sha256 = '0'.repeat(64); delete copy.base.frozenSha256 }), 'other encoder weights'],
      ['['.repeat(100_000), 'deep'],
    ]
    for (const [text, ...parts] of attacked) {
      writeFileSync(join(adapter, 'adapter.json'), text)
      await assert.rejects(use(base, [adapter]), (error) => {
        assert.ok(error instanceof StrataError && error.code === 'BAD_CHECKPOINT', String(error))
        for (const part of parts) assert.ok(error.message.includes(part), error.message)
        return true
      })
    }
  })

  it('programs in a folder are not run, keys that name them do nothing', async () => {
    const path = join(root, 'programs')
    const mark = join(root, 'executed')
    const script = `require('node:fs').writeFileSync(${JSON.stringify(mark)}, 'x')`
    writeFolder(path, ours, [
      field('config.json', 'auto_map', '{"AutoModel":"modeling.Evil"}'),
      field('config.json', 'custom_pipelines', '{"x":{"impl":"modeling.Evil"}}'),
      field('tokenizer_config.json', 'auto_map', '{"AutoTokenizer":["modeling.Evil",null]}'),
      field('tokenizer_config.json', 'chat_template', '"{{ [].constructor.constructor(\'return process\')() }}"'),
      field('config.json', '__proto__', '{"polluted":1}'),
    ])
    for (const name of ['index.js', 'config.js', 'tokenizer.js', 'model.js']) writeFileSync(join(path, name), script)
    writeFileSync(join(path, 'package.json'), '{"main":"index.js","scripts":{"prepare":"node index.js"}}')
    writeFileSync(join(path, 'modeling.py'), `open(${JSON.stringify(mark)}, 'w')`)
    writeFileSync(join(path, 'pytorch_model.bin'), Buffer.from('80037d7100', 'hex'))
    const before = listing(root)
    await use(path)
    assert.deepEqual(listing(root), before)
    assert.equal(({} as any).polluted, undefined)
  })

  it(`${CASES} generated folders: refused in words, or loaded and working`, async () => {
    let refusals = 0
    const path = join(root, 'generated')
    const before = process.resourceUsage().maxRSS * 1024
    const property = fc.asyncProperty(fc.boolean(), damages, async (published_, done) => {
      rmSync(path, { recursive: true, force: true })
      writeFolder(path, published_ ? published : ours, done)
      const names = listing(path)
      const started = performance.now()
      try {
        await use(path)
      } catch (error) {
        if (!(error instanceof StrataError)) throw error
        refusals++
        assert.ok(REFUSALS.includes(error.code), `${error.code}: ${error.message}`)
        assert.ok(error.message.length < 2000 && !error.message.includes(SECRET), error.message)
      }
      const milliseconds = performance.now() - started
      assert.ok(milliseconds < LONGEST_CASE_MS, `${milliseconds} ms`)
      assert.deepEqual(listing(path), names)
    })
    await fc.assert(property, { numRuns: CASES, seed: SEED, endOnFailure: CASES > 150 })
    const growth = process.resourceUsage().maxRSS * 1024 - before
    console.log(`      ${refusals} refused, ${(growth / 1e6).toFixed(0)} MB more at most`)
    assert.ok(refusals > CASES / 4 && refusals < CASES, `${refusals} refused`)
    assert.ok(growth < LARGEST_GROWTH_BYTES, `${growth} bytes`)
    assert.equal(({} as any).polluted, undefined)
    assert.equal(readFileSync(join(root, 'secret.json'), 'utf8'), JSON.stringify({ secret: SECRET }))
  })
})
