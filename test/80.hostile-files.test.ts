/**
 * Files that are cut, damaged, of another model or no text at all, through the command line as a user meets them: exit code 2 and
 * a message that names the file and what was expected.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { saveModelFolder } from '../lib/model/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { runHere } from './helpers/cli-here.js'
import { runCli } from './helpers/cli-process.js'
import { smallModel } from './helpers/small-model.js'

const SAMPLE = resolve(__dirname, '../examples/data/wikipedia-sample.txt')
const WORDS = [
  '[PAD]',
  '[UNK]',
  '[CLS]',
  '[SEP]',
  '[MASK]',
  ...'abcdefghijklmnopqrstuvwxyz',
  ...[...'abcdefghijklmnopqrstuvwxyz'].map((c) => `##${c}`),
  'the',
  'of',
  'and',
  'in',
]

describe('hostile files', function () {
  this.timeout(120_000)
  let folder: string
  let good: string
  let texts: string
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'stratabert-hostile-'))
    good = join(folder, 'good')
    texts = join(folder, 'texts.txt')
    writeFileSync(texts, 'the cat\nof the end\n')
    await using model = await smallModel()
    assert.equal(WORDS.length, model.config.encoder.vocabSize)
    await saveModelFolder(model, good, {
      tokenizer: { save: async (path) => void (await Tokenizer.fromVocabulary(WORDS).save(path)) },
    })
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  /** Exit code 2, one line of error with these parts, nothing unexpected. */
  async function refused(args: string[], ...parts: string[]): Promise<void> {
    const { code, stderr } = await runHere(...args)
    assert.equal(code, 2, stderr)
    assert.match(stderr, /^error\[[A-Z_]+\]: /m)
    assert.doesNotMatch(stderr, /unexpected failure|\bat .*:\d+:\d+/)
    for (const part of parts) assert.ok(stderr.includes(part), `"${stderr}" should name "${part}"`)
  }

  it('the good folder embeds', async () => {
    const { code, stdout, stderr } = await runHere('embed', good, '--input', texts, '--device', 'cpu')
    assert.equal(code, 0, stderr)
    assert.equal(JSON.parse(stdout.split('\n')[1]).length, 32)
  })

  describe('model folders', () => {
    const rewrite = (path: string, change: (bytes: Buffer) => Buffer | string) =>
      writeFileSync(path, change(readFileSync(path)))
    const editJson = (path: string, change: (json: any) => void) =>
      rewrite(path, (bytes) => {
        const json = JSON.parse(bytes.toString())
        change(json)
        return JSON.stringify(json)
      })
    /** Changes the header of the weights without moving the data. */
    const editHeader = (path: string, change: (text: string) => string) =>
      rewrite(path, (bytes) => {
        const length = Number(bytes.readBigUInt64LE())
        const text = Buffer.from(change(bytes.subarray(8, 8 + length).toString()))
        const size = Buffer.alloc(8)
        size.writeBigUInt64LE(BigInt(text.length))
        return Buffer.concat([size, text, bytes.subarray(8 + length)])
      })
    const weights = 'model.safetensors'
    const bias = 'bert.embeddings.LayerNorm.bias'

    // biome-ignore format: a table, one fault a line
    const faults: [string, (path: string) => void, ...string[]][] = [
      ['no folder', (path) => rmSync(path, { recursive: true }), 'bad'],
      ['no config.json', (path) => rmSync(join(path, 'config.json')), 'config.json'],
      ['an empty config.json', (path) => writeFileSync(join(path, 'config.json'), ''), 'config.json', 'JSON'],
      ['a cut config.json', (path) => truncateSync(join(path, 'config.json'), 30), 'config.json', 'JSON'],
      ['a config.json that is a list', (path) => writeFileSync(join(path, 'config.json'), '[]'), 'config.json'],
      ['a size that is text', (path) => editJson(join(path, 'config.json'), (json) => { json.hidden_size = '32' }), 'config.json', 'hidden_size'],
      ['a negative size', (path) => editJson(join(path, 'config.json'), (json) => { json.num_hidden_layers = -2 }), 'config.json', 'num_hidden_layers'],
      ['heads that do not divide', (path) => editJson(join(path, 'config.json'), (json) => { json.num_attention_heads = 5 }), '5'],
      ['another architecture', (path) => editJson(join(path, 'config.json'), (json) => { json.model_type = 'gpt2' }), 'config.json', 'gpt2'],
      ['no weights', (path) => rmSync(join(path, weights)), weights],
      ['empty weights', (path) => truncateSync(join(path, weights), 0), weights, '0 bytes'],
      ['weights cut in the header', (path) => truncateSync(join(path, weights), 100), weights, 'header'],
      ['weights cut in the last tensor', (path) => rewrite(join(path, weights), (bytes) => bytes.subarray(0, -1)), weights, 'bytes'],
      ['bytes behind the weights', (path) => rewrite(join(path, weights), (bytes) => Buffer.concat([bytes, Buffer.alloc(3)])), weights, 'bytes'],
      ['a header of 2^60 bytes', (path) => rewrite(join(path, weights), (bytes) => { bytes.writeBigUInt64LE(2n ** 60n); return bytes }), weights, '1152921504606846976'],
      ['overlapping offsets', (path) => editHeader(join(path, weights), (text) => text.replace(/"data_offsets":\[(\d+)/g, (whole, begin) => (begin === '0' ? whole : `"data_offsets":[${Number(begin) - 4}`))), weights, 'bert.'],
      ['a wrong dtype', (path) => editHeader(join(path, weights), (text) => text.replace('"F32"', '"F64"')), weights, 'F64'],
      ['integers for weights', (path) => editHeader(join(path, weights), (text) => text.replaceAll('"F32"', '"I32"')), weights, 'I32'],
      ['an unknown dtype', (path) => editHeader(join(path, weights), (text) => text.replace('"F32"', '"F37"')), weights, 'F37'],
      ['weights that are a picture', (path) => writeFileSync(join(path, weights), Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')), weights],
      ['a tensor missing', (path) => editHeader(join(path, weights), (text) => text.replace(bias, `${bias}x`)), weights, bias],
      ['a checkpoint of another width', (path) => editJson(join(path, 'config.json'), (json) => { json.hidden_size = 48 }), '48', '32'],
      ['a checkpoint of more layers', (path) => editJson(join(path, 'config.json'), (json) => { json.num_hidden_layers = 3 }), 'layer.2.'],
      ['a checkpoint of another vocabulary', (path) => editJson(join(path, 'config.json'), (json) => { json.vocab_size = 62 }), '62', '61'],
      ['a damaged stratabert.json', (path) => writeFileSync(join(path, 'stratabert.json'), '{"format":'), 'stratabert.json'],
      ['a head above the encoder', (path) => editJson(join(path, 'stratabert.json'), (json) => { json.heads[0].tap.layer = 7 }), 'stratabert.json', '7'],
      ['an unknown key in stratabert.json', (path) => editJson(join(path, 'stratabert.json'), (json) => { json.heads[0].tapp = 1 }), 'stratabert.json', 'tapp'],
      ['no tokenizer', (path) => { for (const name of ['tokenizer.json', 'vocab.txt']) rmSync(join(path, name), { force: true }) }, 'tokenizer'],
      ['an empty tokenizer.json', (path) => writeFileSync(join(path, 'tokenizer.json'), ''), 'tokenizer.json'],
      ['a cut tokenizer.json', (path) => truncateSync(join(path, 'tokenizer.json'), 200), 'tokenizer.json'],
      ['a tokenizer.json that is null', (path) => writeFileSync(join(path, 'tokenizer.json'), 'null'), 'tokenizer.json'],
      ['a tokenizer.json of invalid UTF-8', (path) => rewrite(join(path, 'tokenizer.json'), (bytes) => { bytes[bytes.length >> 1] = 0xff; return bytes }), 'tokenizer.json'],
      ['a tokenizer of another kind', (path) => editJson(join(path, 'tokenizer.json'), (json) => { json.model.type = 'BPE' }), 'tokenizer.json', 'BPE'],
      ['a tokenizer without [SEP]', (path) => editJson(join(path, 'tokenizer.json'), (json) => { delete json.model.vocab['[SEP]']; json.added_tokens = json.added_tokens.filter((t: any) => t.content !== '[SEP]') }), 'tokenizer.json', '[SEP]'],
      ['a tokenizer whose ids are text', (path) => editJson(join(path, 'tokenizer.json'), (json) => { json.model.vocab.the = 'x' }), 'tokenizer.json', 'the'],
      ['a tokenizer with a negative id', (path) => editJson(join(path, 'tokenizer.json'), (json) => { json.model.vocab.the = -4 }), 'tokenizer.json', 'the'],
      ['a tokenizer with more ids than the model', (path) => editJson(join(path, 'tokenizer.json'), (json) => { json.model.vocab.extra = 61 }), '62', '61'],
    ]
    for (const [name, damage, ...parts] of faults) {
      it(name, async () => {
        const path = join(folder, 'bad')
        rmSync(path, { recursive: true, force: true })
        cpSync(good, path, { recursive: true })
        damage(path)
        await refused(['embed', path, '--input', texts, '--device', 'cpu'], ...parts)
      })
    }
  })

  describe('texts', () => {
    // biome-ignore format: a table, one fault a line
    const faults: [string, string, Buffer | string | undefined, ...string[]][] = [
      ['a missing file', 'missing.txt', undefined, 'missing.txt'],
      ['an empty file', 'empty.txt', '', 'empty.txt'],
      ['blank lines only', 'blank.txt', '\n \n\t\n', 'blank.txt', 'no usable document'],
      ['titles only', 'titles.txt', '= One =\n\n= Two =\n', 'titles.txt', 'no usable document', '2 empty'],
      ['invalid UTF-8', 'latin.txt', Buffer.from('good line\ncaf\xe9\n', 'latin1'), 'latin.txt:2', 'UTF-8'],
      ['UTF-16', 'utf16.txt', Buffer.from('\ufeffsome words\n', 'utf16le'), 'utf16.txt:1'],
      ['a NUL byte', 'nul.txt', 'first\nsec\0ond\n', 'nul.txt:2', 'NUL'],
      ['bad JSON lines', 'bad.jsonl', '{"text":"a"}\n{"text":\n', 'bad.jsonl:2', 'JSON'],
      ['JSON lines without the field', 'field.jsonl', '{"body":"a"}\n', 'field.jsonl:1', '"text"', 'body'],
      ['a JSON line that is a list', 'list.jsonl', '["a"]\n', 'list.jsonl:1', 'object'],
      ['a cut gzip file', 'cut.txt.gz', gzipSync(Buffer.alloc(5000, 'word ')).subarray(0, 30), 'cut.txt.gz', 'gzip'],
      ['a .gz that is none', 'none.txt.gz', 'plain words\n', 'none.txt.gz', 'gzip'],
    ]
    for (const [name, file, content, ...parts] of faults) {
      it(`${name}: tokenizer train and train --dry-run`, async () => {
        const path = join(folder, file)
        if (content !== undefined) writeFileSync(path, content)
        await refused(
          ['tokenizer', 'train', '--input', path, '--vocab-size', '100', '--output', join(folder, 'tokenizer')],
          ...parts,
        )
        const run = [
          'train',
          'bert-pretrain',
          '--output',
          join(folder, 'run'),
          '--dry-run',
          '--set',
          `tokenizer=${good}`,
        ]
        await refused([...run, '--data', `corpus=${path}`], ...parts)
      })
    }

    it('a folder without text files', async () => {
      const path = join(folder, 'nothing')
      mkdirSync(path)
      await refused(
        ['tokenizer', 'train', '--input', path, '--vocab-size', '100', '--output', join(folder, 'x')],
        'nothing',
      )
    })

    it('a line of 10 MB is read; one of 33 MB is refused with its number', async () => {
      const path = join(folder, 'long.txt')
      writeFileSync(path, `short line\n\n${'the word and '.repeat(800_000)}\n`)
      const train = ['tokenizer', 'train', '--input', path, '--vocab-size', '60', '--output', join(folder, 'long')]
      const { code, stdout, stderr } = await runHere(...train, '--json')
      assert.equal(code, 0, stderr)
      const { statistics } = JSON.parse(stdout)
      assert.equal(statistics.documents, 2)
      writeFileSync(path, Buffer.concat([Buffer.from('short line\n'), Buffer.alloc(33 * 1024 * 1024, 'word ')]))
      await refused(train, 'long.txt:2', 'longer')
    })

    it('predictions that cannot be written', async () => {
      await refused(
        ['evaluate', good, '--predictions', join(folder, 'none', 'rows.jsonl')],
        'rows.jsonl',
        'predictions',
      )
      await refused(['evaluate', good, '--predictions', folder], folder, 'is a folder')
    })

    it('an empty document among others is skipped, counted and told', async () => {
      const path = join(folder, 'gap.txt')
      writeFileSync(path, '= A =\nsome words stand here\n\n= B =\n\n= C =\nmore words stand here\n')
      const train = ['tokenizer', 'train', '--input', path, '--vocab-size', '60', '--output', join(folder, 'gap')]
      const { code, stderr } = await runHere(...train)
      assert.equal(code, 0, stderr)
      assert.match(stderr, /^note: 1 documents without text were skipped$/m)
    })

    it('input of embed: a missing file, invalid UTF-8', async () => {
      await refused(['embed', good, '--input', join(folder, 'missing.txt')], 'missing.txt')
      const path = join(folder, 'latin.txt')
      writeFileSync(path, Buffer.from('good\ncaf\xe9\n', 'latin1'))
      await refused(['embed', good, '--input', path], 'latin.txt', '2', 'UTF-8')
    })
  })

  describe('--set, recipes and flags', () => {
    // biome-ignore format: a table, one typo a line
    const typos: [string, ...string[]][] = [
      ['encoder.layer=4', 'encoder.layer', '"layers"'],
      ['encoder.layers=four', 'encoder.layers', 'four'],
      ['encoder.layers=', 'encoder.layers', 'value'],
      ['encoder.layers=-1', 'encoder.layers'],
      ['encoder.layers=2.5', 'encoder.layers'],
      ['encoder..layers=4', 'encoder..layers'],
      ['encoder.layers', 'encoder.layers'],
      ['=4', '=4'],
      ['budget.step=10', 'budget.step', '"steps"'],
      ['heads.mlm.layer=99', 'heads.mlm.layer'],
      ['heads.mlmm.weight=1', 'mlmm'],
      ['optimizer.learningrate=1e-4', 'learningrate', 'learningRate'],
      ['optimizer.learningRate=fast', 'learningRate', 'fast'],
      ['encoder=[1, 2', 'encoder'],
      ['__proto__.polluted=1', '__proto__'],
    ]
    for (const [option, ...parts] of typos) {
      it(`--set ${option}`, async () => {
        const run = [
          'train',
          'bert-pretrain',
          '--output',
          join(folder, 'run'),
          '--dry-run',
          '--data',
          `corpus=${SAMPLE}`,
        ]
        await refused([...run, '--set', option], ...parts)
        assert.equal(({} as any).polluted, undefined)
      })
    }

    // biome-ignore format: a table, one fault a line
    const recipes: [string, string, Buffer | string | undefined, ...string[]][] = [
      ['a missing recipe file', 'missing.yaml', undefined, 'missing.yaml'],
      ['an empty recipe', 'empty.yaml', '', 'empty.yaml'],
      ['a recipe that is no YAML', 'bad.yaml', 'encoder: [1, 2\nheads: }', 'bad.yaml', 'line'],
      ['a key twice', 'twice.yaml', 'seed: 1\nseed: 2\n', 'twice.yaml', 'line 2'],
      ['a recipe of bytes', 'bytes.yaml', Buffer.from([0xff, 0xfe, 0, 1, 2, 3]), 'bytes.yaml'],
      ['aliases without end', 'bomb.yaml', `a: &a [x]\n${[...'bcdefgh'].map((c, i) => `${c}: &${c} [${`*${'abcdefgh'[i]}, `.repeat(9)}*${'abcdefgh'[i]}]`).join('\n')}\n`, 'bomb.yaml'],
      ['a recipe that extends itself', 'self.yaml', 'extends: self.yaml\n', 'self.yaml'],
      ['a recipe of 2 MB', 'large.yaml', `# ${'x'.repeat(2_000_000)}\n`, 'large.yaml', 'bytes'],
    ]
    for (const [name, file, content, ...parts] of recipes) {
      it(name, async () => {
        const path = join(folder, file)
        if (content !== undefined) writeFileSync(path, content)
        await refused(
          ['train', path, '--output', join(folder, 'run'), '--dry-run', '--data', `corpus=${SAMPLE}`],
          ...parts,
        )
      })
    }

    it('a real process says the same: exit code 2, nothing on stdout', async () => {
      const { code, signal, stdout, stderr } = await runCli([
        'train',
        'bert-pretrain',
        '--output',
        join(folder, 'run'),
        '--set',
        'encoder.layer=4',
      ])
      assert.deepEqual([code, signal, stdout], [2, null, ''])
      assert.match(stderr, /error\[BAD_RECIPE\].*encoder\.layer/)
    })
  })
})
