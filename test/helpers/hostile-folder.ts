/** A small whole model folder in memory, and everything that can be done to its files. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { encoderConfig, Model, type ModelConfig, type SavedTask, saveModelFolder } from '../../lib/model/index.js'
import { Tokenizer } from '../../lib/text/index.js'
import { type Mutation, mutate, mutations } from './fuzz.js'

const LETTERS = [...'abcdefghijklmnopqrstuvwxyz']
const WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...LETTERS, ...LETTERS.map((c) => `##${c}`), 'the', 'cat']

const CONFIG: ModelConfig = {
  encoder: encoderConfig({
    vocabSize: WORDS.length,
    layers: 2,
    hiddenSize: 8,
    heads: 2,
    intermediateSize: 16,
    maxPositions: 16,
  }),
  heads: [
    { kind: 'masked-lm', name: 'mlm', tap: { layer: 2 }, weight: 1 },
    { kind: 'classifier', name: 'mood', tap: { mix: 'all' }, weight: 1, dropout: 0, classes: 3, pooler: 'own' },
    { kind: 'tagger', name: 'tags', tap: { layer: 1 }, weight: 1, dropout: 0, classes: 2 },
  ],
  mixes: [{ name: 'all', includeEmbeddings: true, layerNorm: false, init: 'uniform' }],
  adapters: [{ name: 'mood', kind: 'lora', size: 2, alpha: 4 }],
}
const TASKS: SavedTask[] = [
  {
    name: 'mood',
    kind: 'classification',
    head: 'mood',
    adapter: 'mood',
    labels: ['a', 'b', 'c'],
    pair: false,
    sequenceTokens: 16,
    metrics: ['accuracy'],
  },
]

export type Files = Map<string, Buffer>

/** What transformers writes: one head, named by its tensors alone. */
const PUBLISHED: ModelConfig = {
  encoder: CONFIG.encoder,
  heads: [{ kind: 'classifier', name: 'task', tap: { layer: 2 }, weight: 1, dropout: 0, classes: 3, pooler: 'own' }],
}

/** The folder as saveModelFolder writes it; `published`: as it comes from elsewhere. */
export async function goodFolder(make: 'ours' | 'published'): Promise<Files> {
  const folder = mkdtempSync(join(tmpdir(), 'stratabert-good-'))
  try {
    await using model = await Model.create(make === 'ours' ? CONFIG : PUBLISHED, { device: 'cpu', seed: 3 })
    const tokenizer = Tokenizer.fromVocabulary(WORDS)
    await saveModelFolder(model, folder, {
      tasks: make === 'ours' ? TASKS : [],
      tokenizer: { save: async (path) => void (await tokenizer.save(path)) },
    })
    const names = readdirSync(folder).filter((name) => make === 'ours' || name !== 'stratabert.json')
    return new Map(names.map((name) => [name, readFileSync(join(folder, name))]))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One thing done to a folder; plain, so that a failing case can be read. */
export type Damage =
  | { kind: 'bytes'; file: string; changes: Mutation[] }
  | { kind: 'field'; file: string; path: string; raw: string | undefined }
  | { kind: 'many'; file: string; path: string; count: number }
  | { kind: 'header'; tensor: string; path: string; raw: string | undefined }
  | { kind: 'rename'; tensor: string; name: string }
  | { kind: 'whole'; file: string; text: string | Buffer }
  | { kind: 'remove'; file: string }
  | { kind: 'link'; file: string; target: string }

/** Writes the files and then does the damage. */
export function writeFolder(path: string, good: Files, damages: readonly Damage[]): void {
  const files = new Map(good)
  const links = new Map<string, string>()
  for (const damage of damages) {
    if (damage.kind === 'link') links.set(damage.file, damage.target)
    else if (damage.kind === 'remove') files.delete(damage.file)
    else if (damage.kind === 'whole') files.set(damage.file, Buffer.from(damage.text as string))
    else if (damage.kind === 'header' || damage.kind === 'rename') changeHeader(files, damage)
    else {
      const bytes = files.get(damage.file)
      if (bytes) files.set(damage.file, changed(bytes, damage))
    }
  }
  mkdirSync(path, { recursive: true })
  for (const [name, bytes] of files) if (!links.has(name)) writeFileSync(join(path, name), bytes)
  for (const [name, target] of links) symlinkSync(target, join(path, name))
}

function changed(bytes: Buffer, damage: Damage): Buffer {
  if (damage.kind === 'bytes') return mutate(bytes, damage.changes)
  try {
    const json: unknown = JSON.parse(bytes.toString())
    if (damage.kind === 'field') return Buffer.from(withField(json, damage.path, damage.raw))
    if (damage.kind === 'many') {
      const list = at(json, damage.path.split('.'))
      if (Array.isArray(list) && list.length > 0) {
        for (let copy = list.length; copy < damage.count; copy++) list.push({ ...list[0], name: `copy${copy}` })
      }
      return Buffer.from(JSON.stringify(json))
    }
  } catch {
    // Damaged before, or too deep for JSON.stringify.
  }
  return bytes
}

function changeHeader(files: Files, damage: Damage & { kind: 'header' | 'rename' }): void {
  const bytes = files.get('model.safetensors')
  if (!bytes || bytes.length < 8) return
  const length = Number(bytes.readBigUInt64LE())
  try {
    const json = JSON.parse(bytes.subarray(8, 8 + length).toString())
    let text: string
    if (damage.kind === 'header') text = withField(json, `${damage.tensor}/${damage.path}`, damage.raw, '/')
    else {
      text = JSON.stringify(json).replaceAll(JSON.stringify(damage.tensor), JSON.stringify(damage.name))
    }
    files.set('model.safetensors', safetensorsFile(text, bytes.subarray(8 + length)))
  } catch {
    // Damaged before.
  }
}

export function safetensorsFile(header: string, data: Uint8Array): Buffer {
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(Buffer.byteLength(header)))
  return Buffer.concat([size, Buffer.from(header), data])
}

function at(json: unknown, path: readonly string[]): unknown {
  return path.reduce<any>((inner, key) => (typeof inner === 'object' && inner !== null ? inner[key] : undefined), json)
}

/** The text of a JSON with one field set to raw text, or taken away. */
function withField(json: any, path: string, raw: string | undefined, separator = '.'): string {
  const keys = path.split(separator)
  const owner: any = at(json, keys.slice(0, -1))
  if (typeof owner !== 'object' || owner === null) return JSON.stringify(json)
  const last = keys.at(-1)!
  if (raw === undefined) {
    delete owner[last]
    return JSON.stringify(json)
  }
  const mark = '@@raw@@'
  Object.defineProperty(owner, last, { value: mark, enumerable: true, configurable: true, writable: true })
  return JSON.stringify(json).replace(JSON.stringify(mark), () => raw)
}

const nested = (depth: number, open = '[', close = ']') => open.repeat(depth) + close.repeat(depth)

/** JSON that no writer of checkpoints writes. */
const raw = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<string | undefined>(undefined, 'null', 'true', '[]', '{}', '""') },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...[
        '0',
        '-1',
        '1',
        '3',
        '7',
        '1e9',
        '1000000',
        '2147483647',
        '9007199254740993',
        '1e999',
        '-1e999',
        '0.5',
        '1e-320',
      ],
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...[
        '"32"',
        '"\\ud800"',
        '"\\u0000"',
        '"../../secret"',
        '"/etc/passwd"',
        '"constructor"',
        '"__proto__"',
        '"mood"',
      ],
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '[[],{},null]', '[1,2,3]'],
      ...[nested(90), nested(3000), nested(2000, '{"a":', '1}'), JSON.stringify('x'.repeat(100_000))],
      `[${'0,'.repeat(50_000)}0]`,
    ),
  },
  fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value)),
)

/** Parts of tokenizers that take time or memory without end, or that the library may not know. */
const TOKENIZER_PARTS = [
  '{"type":"Replace","pattern":{"Regex":"(a*)*b"},"content":""}',
  '{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaaaaaaaa"}',
  `{"type":"Sequence","normalizers":[${new Array(40).fill('{"type":"Replace","pattern":{"String":"e"},"content":"ee"}').join()}]}`,
  `{"type":"Sequence","normalizers":[${new Array(90).fill('{"type":"Lowercase"}').join()}]}`,
  '{"type":"Precompiled","precompiled_charsmap":"AAAA"}',
  '{"type":"Prepend","prepend":"aaaaaaaa"}',
  '{"type":"Split","pattern":{"Regex":"(x+x+)+y"},"behavior":"Removed","invert":false}',
  '{"type":"Split","pattern":{"String":""},"behavior":"Isolated","invert":true}',
  '{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"}]}',
  '{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}',
  `{"type":"Sequence","normalizers":[${new Array(40).fill('{"type":"ByteLevel"}').join()}]}`,
  '{"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true}',
  '{"type":"UnicodeScripts"}',
  '{"type":"NFKD"}',
  '{"type":"Strip","strip_left":true,"strip_right":true}',
  '{"type":"BertNormalizer","clean_text":false,"handle_chinese_chars":true,"strip_accents":true,"lowercase":false}',
  `{"type":"TemplateProcessing","single":[${new Array(5000).fill('{"Sequence":{"id":"A","type_id":0}}').join()}],"pair":[],"special_tokens":{}}`,
]

const HEAD = ['kind', 'name', 'tap', 'tap.layer', 'tap.mix', 'weight', 'classes', 'dropout', 'pooler', 'steps', 'extra']
const ADAPTER = ['kind', 'name', 'size', 'heads', 'blocks', 'alpha', 'dropout', 'targets', 'layerNorms', 'outputGelu']
const TASK = ['name', 'kind', 'head', 'adapter', 'labels', 'pair', 'sequenceTokens', 'metrics', 'definition', 'range']
const FIELDS: [string, string[]][] = [
  [
    'config.json',
    [
      ...['model_type', 'vocab_size', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size'],
      ...['max_position_embeddings', 'type_vocab_size', 'layer_norm_eps', 'hidden_act', 'hidden_dropout_prob'],
      ...['attention_probs_dropout_prob', 'initializer_range', 'id2label', 'architectures', 'classifier_dropout'],
      ...['tie_word_embeddings', 'problem_type', 'is_decoder', 'position_embedding_type', '__proto__', 'auto_map'],
    ],
  ],
  [
    'stratabert.json',
    [
      ...['format', 'version', 'heads', 'mixes', 'adapters', 'tasks', 'pruned', 'extra', '__proto__', 'heads.7'],
      ...['heads.0.', 'heads.1.', 'heads.2.'].flatMap((head) => HEAD.map((field) => head + field)),
      ...ADAPTER.map((field) => `adapters.0.${field}`),
      ...['name', 'includeEmbeddings', 'layerNorm', 'init'].map((field) => `mixes.0.${field}`),
      ...TASK.map((field) => `tasks.0.${field}`),
    ],
  ],
  [
    'tokenizer.json',
    [
      ...[
        'version',
        'truncation',
        'padding',
        'added_tokens',
        'normalizer',
        'pre_tokenizer',
        'post_processor',
        'decoder',
      ],
      ...[
        'model',
        'model.type',
        'model.unk_token',
        'model.continuing_subword_prefix',
        'model.vocab',
        'model.vocab.the',
      ],
      ...[
        'model.max_input_chars_per_word',
        'normalizer.type',
        'pre_tokenizer.type',
        'normalizer.lowercase',
        'model.merges',
      ],
      ...['id', 'content', 'special', 'lstrip', 'single_word', 'normalized'].map((field) => `added_tokens.1.${field}`),
    ],
  ],
  ['tokenizer_config.json', ['do_lower_case', 'strip_accents', 'tokenizer_class', 'auto_map']],
]
const TENSORS = [
  'bert.embeddings.word_embeddings.weight',
  'bert.embeddings.LayerNorm.bias',
  'bert.encoder.layer.1.output.dense.weight',
  'heads.mood.classifier.weight',
  'adapters.mood.layer.0.query.a',
  'cls.predictions.bias',
  'classifier.weight',
  '__metadata__',
]
const FILES = [
  'config.json',
  'stratabert.json',
  'model.safetensors',
  'tokenizer.json',
  'vocab.txt',
  'tokenizer_config.json',
]

/** What links may lead to: beside the folder, inside it, away, nowhere, in a circle, to what is no file. */
const TARGETS = [
  '../secret.json',
  'config.json',
  '../../secret',
  '/etc/passwd',
  '/dev/zero',
  '/dev/null',
  '.',
  '..',
  'away',
  'config.json/x',
]

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(...FIELDS).chain(([file, paths]) =>
      fc.record({
        kind: fc.constant('field' as const),
        file: fc.constant(file),
        path: fc.constantFrom(...paths),
        raw,
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('field' as const),
      file: fc.constant('tokenizer.json'),
      path: fc.constantFrom('normalizer', 'pre_tokenizer', 'decoder', 'post_processor'),
      raw: fc.constantFrom(...TOKENIZER_PARTS),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('header' as const),
      tensor: fc.constantFrom(...TENSORS),
      path: fc.constantFrom(
        'dtype',
        'shape',
        'shape/0',
        'shape/1',
        'data_offsets',
        'data_offsets/0',
        'data_offsets/1',
        'x',
      ),
      raw: fc.oneof(
        raw,
        fc.constantFrom('"I8"', '"F64"', '"BF16"', '"F8_E4M3"', '[1000000000,0]', '[0]', '[65536,65536,65536]'),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('rename' as const),
      tensor: fc.constantFrom(...TENSORS),
      name: fc.constantFrom(
        '../../x',
        '__proto__',
        'classifier.weight',
        'qa_outputs.weight',
        'bert.pooler.dense.weight',
        '',
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('many' as const),
      file: fc.constant('stratabert.json'),
      path: fc.constantFrom('heads', 'adapters', 'mixes', 'tasks'),
      count: fc.constantFrom(2, 50, 20_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('bytes' as const), file: fc.constantFrom(...FILES), changes: mutations }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('whole' as const),
      file: fc.constantFrom(...FILES),
      text: fc.constantFrom(
        '',
        '\ufeff{}',
        '[]',
        'null',
        nested(200_000),
        nested(100_000, '{"a":', '1}'),
        '{"a":1,"a":2}',
        'NaN',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), file: fc.constantFrom(...FILES) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('link' as const),
      file: fc.constantFrom(...FILES),
      target: fc.constantFrom(...TARGETS),
    }),
  },
)

export const damages = fc.array(damage, { minLength: 1, maxLength: 3 })
