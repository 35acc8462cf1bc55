/** Adapters as folders of their own: taken out, added to a base, merged into its weights. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packSequences } from '../lib/data/packed-batch.js'
import { StrataError } from '../lib/errors.js'
import {
  type AdapterConfig,
  addAdapter,
  computeThreads,
  encoderConfig,
  extractAdapter,
  type HeadConfig,
  listAdapters,
  loadModel,
  type MixConfig,
  Model,
  mergeAdapter,
  readAdapterFolder,
  readModelFolder,
  type SavedTask,
  saveAdapter,
  saveModelFolder,
} from '../lib/model/index.js'
import { Tokenizer } from '../lib/text/index.js'
import { writeFormula } from './golden/golden.js'
import { runCli } from './helpers/cli-process.js'

const ENCODER = encoderConfig({
  vocabSize: 30,
  layers: 2,
  hiddenSize: 16,
  heads: 2,
  intermediateSize: 24,
  maxPositions: 16,
})
const LAYERS = { tap: { layer: 2 }, weight: 1, dropout: 0 }
const HEADS: HeadConfig[] = [
  { ...LAYERS, kind: 'classifier', name: 'rte', classes: 2, pooler: 'shared' },
  { ...LAYERS, kind: 'classifier', name: 'cola', classes: 2, pooler: 'shared' },
  { ...LAYERS, kind: 'tagger', name: 'ner', classes: 3 },
]
const ADAPTERS: AdapterConfig[] = [
  { name: 'rte', kind: 'lora', size: 3, alpha: 6 },
  { name: 'cola', kind: 'pal', size: 8, heads: 2 },
  { name: 'ner', kind: 'lhuc' },
]
const TASKS: SavedTask[] = HEADS.map(({ name, kind }) => ({
  name,
  kind: kind === 'tagger' ? 'tagging' : 'classification',
  head: name,
  adapter: name,
  labels: kind === 'tagger' ? ['O', 'B', 'I'] : ['no', 'yes'],
  sequenceTokens: 16,
  metrics: ['accuracy'],
}))
const BATCH = packSequences([
  [2, 17, 24, 9, 3, 8, 5, 3],
  [2, 26, 3],
])

async function rejects(work: Promise<unknown>, code: string, ...words: string[]): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof StrataError, String(error))
    assert.equal(error.code, code, error.message)
    for (const word of words) assert.ok(error.message.includes(word), `"${error.message}" names ${word}`)
    return true
  })
}

/** Scores of a head through an adapter. */
async function scores(model: Model, head: string, adapter?: string): Promise<Float32Array> {
  const labels =
    head === 'ner' ? { positions: Int32Array.of(1, 9), labels: new Int32Array(2) } : { labels: new Int32Array(2) }
  const { values } = await model.headLogits({ ...BATCH, labels: { [head]: labels }, ...(adapter && { adapter }) }, head)
  return Float32Array.from(values)
}

async function scoresOf(
  folder: string,
  head: string,
  adapter?: string,
  adapterFolders?: string[],
): Promise<Float32Array> {
  const { model: loaded, fresh } = await loadModel(folder, { device: 'cpu', adapterFolders })
  await using model = loaded
  assert.deepEqual(fresh, [])
  return scores(model, head, adapter)
}

function worst(actual: Float32Array, expected: Float32Array): number {
  assert.equal(actual.length, expected.length)
  return Math.max(...actual.map((value, index) => Math.abs(value - expected[index])))
}

describe('adapter folders', function () {
  this.timeout(120_000)
  let scratch: string
  let all: string
  /** The encoder alone, with the weights that the adapters were made for. */
  let base: string
  let model: Model
  const at = (name: string): string => join(scratch, name)
  before(async () => {
    computeThreads(1)
    scratch = mkdtempSync(join(tmpdir(), 'stratabert-adapters-'))
    all = at('all')
    base = at('base')
    model = await Model.create({ encoder: ENCODER, heads: HEADS, adapters: ADAPTERS }, { device: 'cpu' })
    await writeFormula(model, () => true)
    const words = Array.from({ length: 25 }, (_, index) => `word${index}`)
    const tokenizer = Tokenizer.fromVocabulary(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...words])
    const save = async (path: string): Promise<void> => void (await tokenizer.save(path))
    await saveModelFolder(model, all, { tasks: TASKS, tokenizer: { save } })
    const { model: plain } = await loadModel(all, { heads: [], adapters: [], device: 'cpu' })
    await using bare = plain
    await saveModelFolder(bare, base, { tokenizer: { save } })
  })
  after(async () => {
    await model?.dispose()
    rmSync(scratch, { recursive: true, force: true })
  })

  it('a model folder keeps adapters bit for bit', async () => {
    const { model: loaded, fresh, tasks, config } = await loadModel(all, { device: 'cpu', seed: 9 })
    await using again = loaded
    assert.deepEqual([fresh, tasks, config.adapters], [[], TASKS, ADAPTERS])
    assert.deepEqual(await again.readTensors('value'), await model.readTensors('value'))
  })

  it('lists adapters with their sizes, tasks and heads', async () => {
    const listed = await listAdapters(all)
    const block = 3 * 2 * 16
    assert.deepEqual(
      listed.map(({ adapter, parameters, tasks, heads }) => [adapter.name, parameters, tasks, heads]),
      [
        ['rte', 2 * 2 * block, ['rte'], ['rte']],
        ['cola', 8 * 16 + 8 + 16 * 8 + 16 + 2 * 3 * (8 * 8 + 8), ['cola'], ['cola']],
        ['ner', 2 * 16, ['ner'], ['ner']],
      ],
    )
    assert.deepEqual(await listAdapters(base), [])
  })

  for (const { name, kind } of ADAPTERS) {
    it(`${kind}: taken out and added to the base, it computes the same`, async () => {
      const expected = await scores(model, name, name)
      await extractAdapter(all, name, at(`${name}-adapter`))
      await saveAdapter(model, name, at(`${name}-live`), { tasks: TASKS })
      const both = (file: string) => ['adapter', 'live'].map((way) => readFileSync(join(at(`${name}-${way}`), file)))
      const [stored, live] = both('adapter.safetensors')
      assert.ok(stored.equals(live), 'adapter.safetensors')
      // The order of the keys is the schema's in one and the caller's in the other.
      const [storedText, liveText] = both('adapter.json').map((bytes) => JSON.parse(bytes.toString()))
      assert.deepEqual(storedText, liveText)
      assert.ok(
        statSync(join(at(`${name}-adapter`), 'adapter.safetensors')).size <
          statSync(join(base, 'model.safetensors')).size / 2,
      )
      assert.deepEqual(await scoresOf(base, name, name, [at(`${name}-adapter`)]), expected)
      await addAdapter(base, at(`${name}-adapter`), at(`${name}-added`))
      const added = await readModelFolder(at(`${name}-added`))
      assert.deepEqual([added.config.adapters?.length, added.tasks.length, added.tokenizerFiles.length], [1, 1, 4])
      assert.deepEqual(await scoresOf(at(`${name}-added`), name, name), expected)
    })
  }

  it('several adapters are added to one base', async () => {
    const folders = ADAPTERS.map(({ name }) => at(`${name}-adapter`))
    for (const { name } of ADAPTERS) {
      assert.deepEqual(await scoresOf(base, name, name, folders), await scores(model, name, name))
    }
    await addAdapter(at('rte-added'), at('cola-adapter'), at('two'))
    assert.deepEqual(await scoresOf(at('two'), 'cola', 'cola'), await scores(model, 'cola', 'cola'))
    assert.deepEqual(await scoresOf(at('two'), 'rte', 'rte'), await scores(model, 'rte', 'rte'))
  })

  it('mixes of one name: one with the same numbers is shared, one with others gets a name of its own', async () => {
    const tap = { mix: 'layers' }
    const heads = HEADS.slice(0, 2).map((head): HeadConfig => ({ ...head, tap }) as HeadConfig)
    const mixes: MixConfig[] = [{ name: 'layers', includeEmbeddings: true, layerNorm: false, init: 'uniform' }]
    const config = { encoder: ENCODER, heads, mixes, adapters: ADAPTERS.slice(0, 2) }
    await using mixed = await Model.create(config, { device: 'cpu' })
    await writeFormula(mixed, () => true)
    const tasks = TASKS.slice(0, 2)
    await saveModelFolder(mixed, at('mixed'), { tasks })
    const { model: plain } = await loadModel(at('mixed'), { heads: [], adapters: [], mixes: [], device: 'cpu' })
    await using bare = plain
    await saveModelFolder(bare, at('mixed-base'))
    for (const name of ['rte', 'cola']) await extractAdapter(at('mixed'), name, at(`mixed-${name}`))
    const [rte, cola] = [await scores(mixed, 'rte', 'rte'), await scores(mixed, 'cola', 'cola')]
    await mixed.writeTensors({ 'mixes.layers.weights': Float32Array.of(3, -1, 0) })
    await saveAdapter(mixed, 'cola', at('mixed-other'), { tasks })
    const other = await scores(mixed, 'cola', 'cola')
    assert.ok(worst(other, cola) > 1e-4)

    for (const [second, names, expected] of [
      ['mixed-cola', ['layers'], cola],
      ['mixed-other', ['layers', 'cola-layers'], other],
    ] as const) {
      const adapterFolders = [at('mixed-rte'), at(second)]
      const loaded = await loadModel(at('mixed-base'), { device: 'cpu', adapterFolders })
      await using both = loaded.model
      assert.deepEqual(
        loaded.config.mixes?.map(({ name }) => name),
        names,
      )
      assert.deepEqual([await scores(both, 'rte', 'rte'), await scores(both, 'cola', 'cola')], [rte, expected])
      await addAdapter(at('mixed-base'), at('mixed-rte'), at(`${second}-one`))
      await addAdapter(at(`${second}-one`), at(second), at(`${second}-two`))
      assert.deepEqual(await scoresOf(at(`${second}-two`), 'rte', 'rte'), rte)
      assert.deepEqual(await scoresOf(at(`${second}-two`), 'cola', 'cola'), expected)
    }
  })

  for (const name of ['rte', 'ner']) {
    it(`merges ${name} into the weights: the same scores without an adapter`, async () => {
      const expected = await scores(model, name, name)
      assert.ok(worst(await scores(model, name), expected) > 1e-4)
      const { leftOut } = await mergeAdapter(all, name, at(`${name}-merged`))
      assert.deepEqual(
        leftOut,
        HEADS.map((head) => head.name).filter((head) => head !== name),
      )
      assert.ok(worst(await scoresOf(at(`${name}-merged`), name), expected) < 2e-6)
      const { config, tasks } = await readModelFolder(at(`${name}-merged`))
      assert.deepEqual([config.adapters, config.heads.length, tasks[0].adapter], [undefined, 1, undefined])
      const { architectures } = JSON.parse(readFileSync(join(at(`${name}-merged`), 'config.json'), 'utf8'))
      assert.deepEqual(architectures, [name === 'rte' ? 'BertForSequenceClassification' : 'BertForTokenClassification'])
    })
  }

  it('refuses to merge what no weights can express', async () => {
    await rejects(mergeAdapter(all, 'cola', at('no')), 'UNSUPPORTED', 'cola', 'pal', 'attends by itself')
  })

  it('refuses another base, taken names and unknown adapters', async () => {
    const adapter = at('rte-adapter')
    await rejects(extractAdapter(all, 'mnli', at('no')), 'NOT_FOUND', 'mnli', 'rte, cola, ner')
    await rejects(extractAdapter(all, 'rte', all), 'BAD_ARGUMENT', 'another folder')
    await rejects(addAdapter(all, adapter, at('no')), 'BAD_ARGUMENT', 'adapter rte', 'names must differ')
    await rejects(addAdapter(at('rte-merged'), adapter, at('no')), 'BAD_CHECKPOINT', 'other encoder weights')
    await rejects(loadModel(at('rte-merged'), { adapterFolders: [adapter] }), 'BAD_CHECKPOINT', 'other encoder weights')
    const copy = at('other-shape')
    cpSync(adapter, copy, { recursive: true })
    const json = JSON.parse(readFileSync(join(copy, 'adapter.json'), 'utf8'))
    writeFileSync(join(copy, 'adapter.json'), JSON.stringify({ ...json, base: { ...json.base, layers: 3 } }))
    await rejects(addAdapter(base, copy, at('no')), 'BAD_CHECKPOINT', 'layers 3', 'has 2')
    writeFileSync(join(copy, 'adapter.json'), JSON.stringify({ ...json, adapter: { ...json.adapter, kind: 'magic' } }))
    await rejects(readAdapterFolder(copy), 'BAD_CHECKPOINT', 'adapter.json', 'adapter.kind')
    await rejects(readAdapterFolder(at('nowhere')), 'NOT_FOUND', 'adapter.json')
  })

  it('gates and submodels of agreements belong to the base; folders of old fit as before', async () => {
    const encoder = encoderConfig({ ...ENCODER, kind: 'crammed' })
    const agreements = { relations: ['subj'], size: 4, layers: 1, heads: 1, intermediateSize: 8, gateInit: 0.5 }
    const [head] = HEADS
    const config = { encoder, agreements, heads: [head], adapters: [ADAPTERS[0]] }
    await using whole = await Model.create(config, { device: 'cpu', seed: 5 })
    const save = async (folder: string): Promise<void> => {
      await saveModelFolder(whole, at(folder), { tasks: [TASKS[0]] })
      const { model: plain } = await loadModel(at(folder), { heads: [], adapters: [], device: 'cpu' })
      await using bare = plain
      await saveModelFolder(bare, at(`${folder}-base`))
    }
    await writeFormula(whole, (name) => name.startsWith('adapters.'))
    await save('agreed')
    const adapter = at('agreed-adapter')
    await extractAdapter(at('agreed'), 'rte', adapter)
    await addAdapter(at('agreed-base'), adapter, at('agreed-added'))
    assert.equal((await readModelFolder(at('agreed-added'))).config.adapters?.length, 1)
    await mergeAdapter(at('agreed'), 'rte', at('agreed-merged'))
    assert.deepEqual((await readModelFolder(at('agreed-merged'))).config.agreements, agreements)
    // Another gate: the encoder's own weights are as they were.
    await whole.writeTensors({ 'agreements.gates': Float32Array.of(0.25) })
    await save('other')
    await rejects(
      addAdapter(at('other-base'), adapter, at('no')),
      'BAD_CHECKPOINT',
      'other agreements',
      'those of hash',
    )
    const json = JSON.parse(readFileSync(join(adapter, 'adapter.json'), 'utf8'))
    delete json.base.agreementsSha256
    writeFileSync(join(adapter, 'adapter.json'), JSON.stringify(json))
    await addAdapter(at('other-base'), adapter, at('other-added'))
    assert.equal((await readModelFolder(at('other-added'))).config.adapters?.length, 1)
    // One that was made for a base without agreements says so.
    const plain = JSON.parse(readFileSync(join(at('rte-adapter'), 'adapter.json'), 'utf8'))
    assert.equal(plain.base.agreementsSha256, null)
  })

  it('stratabert adapters list, extract, add and merge', async () => {
    const run = (...args: string[]) => runCli(['adapters', ...args], { cwd: scratch })
    const listed = await run('list', 'all')
    assert.match(listed.stdout, /^rte {2}lora 3 {2}384 parameters {2}tasks rte\n/)
    const [first] = JSON.parse((await run('list', 'all', '--json')).stdout)
    assert.deepEqual([first.adapter, first.parameters], [ADAPTERS[0], 384])
    const extracted = await run('extract', 'all', '--adapter', 'cola', '--output', 'cli-adapter', '--json')
    assert.deepEqual([extracted.code, JSON.parse(extracted.stdout).adapter], [0, 'cola'])
    assert.equal((await run('add', 'base', '--from', 'cli-adapter', '--output', 'cli-added')).code, 0)
    assert.deepEqual(await scoresOf(at('cli-added'), 'cola', 'cola'), await scores(model, 'cola', 'cola'))
    const merged = await run('merge', 'all', '--adapter', 'rte', '--output', 'cli-merged')
    assert.deepEqual([merged.code, merged.stderr], [0, 'note: heads that did not use rte are left out: cola, ner\n'])
    const refused = await run('merge', 'all', '--adapter', 'cola', '--output', 'cli-no')
    assert.deepEqual([refused.code, refused.stdout], [2, ''])
    assert.match(refused.stderr, /^error\[UNSUPPORTED\]: adapter cola is of kind pal/)
  })
})
